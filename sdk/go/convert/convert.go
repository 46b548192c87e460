// Package convert translates between the SDK's types and the generated ones.
package convert

import (
	"errors"
	"time"

	watchfire "MODULE/watchfire"
	alerts "MODULE/watchfire/watchfire_plugin_alerts"
	types "MODULE/watchfire/watchfire_plugin_types"

	wit "MODULE/watchfire/wit/types"
)

// Result is what a call answers: a value, or the error as the contract has it.
func Result[T any](value T, err error) wit.Result[T, types.PluginError] {
	if err == nil {
		return wit.Ok[T, types.PluginError](value)
	}
	var config watchfire.InvalidConfig
	var input watchfire.BadInput
	var unsupported watchfire.Unsupported
	failure := types.MakePluginErrorInternal(err.Error())
	switch {
	case errors.As(err, &config):
		failure = types.MakePluginErrorInvalidConfig(types.ConfigError{Path: config.Path, Message: config.Message})
	case errors.As(err, &input):
		failure = types.MakePluginErrorBadInput(string(input))
	case errors.As(err, &unsupported):
		failure = types.MakePluginErrorUnsupported(string(unsupported))
	}
	return wit.Err[T, types.PluginError](failure)
}

// Text is none where the text is empty.
func Text(text string) wit.Option[string] {
	if text == "" {
		return wit.None[string]()
	}
	return wit.Some(text)
}

// Map makes a map of pairs.
func Map(pairs []wit.Tuple2[string, string]) map[string]string {
	texts := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		texts[pair.F0] = pair.F1
	}
	return texts
}

// Alerts translates alerts.
func Alerts(given []alerts.Alert) []watchfire.Alert {
	list := make([]watchfire.Alert, 0, len(given))
	for _, one := range given {
		alert := watchfire.Alert{
			Fingerprint:  one.Fingerprint,
			Name:         one.Name,
			Severity:     watchfire.Severity(one.Severity),
			Firing:       one.Firing,
			Starts:       time.UnixMilli(one.StartsMs).UTC(),
			Summary:      one.Summary,
			GeneratorURL: one.GeneratorUrl,
			Labels:       Map(one.Labels),
			Annotations:  Map(one.Annotations),
		}
		if one.EndsMs.IsSome() {
			alert.Ends = time.UnixMilli(one.EndsMs.Some()).UTC()
		}
		if one.Value.IsSome() {
			value := one.Value.Some()
			alert.Value = &value
		}
		list = append(list, alert)
	}
	return list
}
