// Tells the receiver that a label names, with a prefix.
package main

import (
	"encoding/json"
	"errors"
	"time"

	"MODULE/watchfire"
	_ "MODULE/watchfire/wit_exports"
)

type byLabel struct {
	Label  string `json:"label"`
	Prefix string `json:"prefix"`
}

func open(config []byte) (watchfire.Router, error) {
	route := byLabel{Label: "team"}
	var wrong *json.UnmarshalTypeError
	if err := json.Unmarshal(config, &route); errors.As(err, &wrong) {
		return nil, watchfire.InvalidConfig{Path: "/" + wrong.Field, Message: "must be a text"}
	} else if err != nil {
		return nil, watchfire.InvalidConfig{Message: err.Error()}
	}
	return route, nil
}

func (route byLabel) Route(_ time.Time, alerts []watchfire.Alert) ([]watchfire.Decision, error) {
	decisions := make([]watchfire.Decision, len(alerts))
	for i, alert := range alerts {
		if alert.Labels["mute"] == "true" {
			decisions[i].Suppress = "muted by its label"
		} else if value, known := alert.Labels[route.Label]; known {
			decisions[i].Receivers = []string{route.Prefix + value}
		}
		// Neither: the route's own receiver is told.
	}
	return decisions, nil
}

func init() {
	watchfire.OfferRouter(watchfire.Offer{
		Name:    "by-label",
		Summary: "Tells the receiver that a label names.",
		Schema:  `{"type":"object","properties":{"label":{"type":"string"},"prefix":{"type":"string"}}}`,
	}, open)
}

func main() {}
