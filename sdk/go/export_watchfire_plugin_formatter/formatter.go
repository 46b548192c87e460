// Package export_watchfire_plugin_formatter hands calls to the formatters that were offered.
package export_watchfire_plugin_formatter

import (
	"time"

	watchfire "MODULE/watchfire"
	"MODULE/watchfire/convert"
	bindings "MODULE/watchfire/watchfire_plugin_formatter"
	types "MODULE/watchfire/watchfire_plugin_types"

	wit "MODULE/watchfire/wit/types"
)

// Open prepares a formatter for a channel.
func Open(name, config string) wit.Result[uint32, types.PluginError] {
	return convert.Result(watchfire.Formatters.Open(name, config))
}

// Format writes the message for an alert group.
func Format(handle uint32, group bindings.Group) wit.Result[bindings.Message, types.PluginError] {
	return convert.Result(format(handle, group))
}

func format(handle uint32, group bindings.Group) (message bindings.Message, err error) {
	defer watchfire.Recover(&err)
	answer, err := watchfire.Formatters.Begin(handle, group.AtMs).Format(watchfire.Group{
		At:          time.UnixMilli(group.AtMs).UTC(),
		Key:         group.Key,
		Receiver:    group.Receiver,
		GroupLabels: convert.Map(group.GroupLabels),
		ExternalURL: group.ExternalUrl,
		Alerts:      convert.Alerts(group.Alerts),
		ID:          group.Id,
		Channel:     group.Channel,
		Secrets:     convert.Map(group.Secrets),
	})
	message = bindings.Message{
		Title:       answer.Title,
		ContentType: answer.ContentType,
		Body:        answer.Body,
		DedupKey:    convert.Text(answer.DedupKey),
	}
	for _, header := range answer.Headers {
		message.Headers = append(message.Headers, wit.Tuple2[string, string]{F0: header[0], F1: header[1]})
	}
	if answer.Target != nil {
		message.Target = wit.Some(bindings.Target{Method: bindings.Method(answer.Target.Method), Url: answer.Target.URL})
	}
	return message, err
}

// Close forgets a formatter.
func Close(handle uint32) { watchfire.Formatters.Close(handle) }
