// Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"MODULE/watchfire"
	_ "MODULE/watchfire/wit_exports"
)

type lines struct {
	Prefix string `json:"prefix"`
	URL    string `json:"url"`
}

func open(config []byte) (watchfire.Formatter, error) {
	var channel lines
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal(config, &channel); errors.As(err, &wrong) {
		return nil, watchfire.InvalidConfig{Path: "/" + wrong.Field, Message: "must be a text"}
	} else if err != nil {
		return nil, watchfire.InvalidConfig{Message: err.Error()}
	}
	return channel, nil
}

func (channel lines) Format(group watchfire.Group) (watchfire.Message, error) {
	var body strings.Builder
	firing := 0
	for _, alert := range group.Alerts {
		status := "RESOLVED"
		if alert.Firing {
			status = "FIRING"
			firing++
		}
		fmt.Fprintf(&body, "%s %s: %s\n", status, alert.Name, alert.Summary)
	}
	message := watchfire.Message{
		Title:       fmt.Sprintf("%s%d firing, %d resolved", channel.Prefix, firing, len(group.Alerts)-firing),
		ContentType: "text/plain",
		Body:        body.String(),
	}
	if channel.URL != "" {
		token, granted := group.Secrets["token"]
		if !granted {
			return message, watchfire.BadInput("the receiver's grant has no secret `token`")
		}
		message.Headers = [][2]string{{"Authorization", "Bearer " + token}}
		message.Target = &watchfire.Target{Method: watchfire.Post, URL: channel.URL}
	}
	return message, nil
}

func init() {
	watchfire.OfferFormatter(watchfire.Offer{
		Name:    "lines",
		Summary: "Writes one line for each alert.",
		Schema:  `{"type":"object","properties":{"prefix":{"type":"string"},"url":{"type":"string"}}}`,
	}, open)
}

func main() {}
