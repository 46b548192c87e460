// Finds the series above a limit, and says for how many evaluations in a row there have been any.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"MODULE/watchfire"
	_ "MODULE/watchfire/wit_exports"
)

type above struct {
	Limit *float64 `json:"limit"`
}

func open(config []byte) (watchfire.Condition, error) {
	var rule above
	if err := json.Unmarshal(config, &rule); err != nil || rule.Limit == nil {
		return nil, watchfire.InvalidConfig{Path: "/limit", Message: "must be a number"}
	}
	return rule, nil
}

func (rule above) Evaluate(batch watchfire.Batch, state watchfire.State) (outcome watchfire.Outcome, err error) {
	streak := 1
	if stored, known := state.Get("streak"); known {
		before, err := strconv.Atoi(string(stored))
		if err != nil {
			return outcome, err
		}
		streak = before + 1
	}
	for series, value := range batch.Latest() {
		switch {
		case math.IsNaN(value):
			outcome.Unknown = append(outcome.Unknown, series)
		case value > *rule.Limit:
			// Labels are asked for where they are needed, not for every series.
			host, _ := batch.Label(series, "host")
			outcome.Findings = append(outcome.Findings, watchfire.Finding{
				Series:   series,
				Severity: watchfire.Warning,
				Value:    value,
				Summary:  fmt.Sprintf("%s is above the limit, %d in a row", host, streak),
			})
		}
	}
	if len(outcome.Findings) == 0 {
		streak = 0
	}
	return outcome, state.Set("streak", []byte(strconv.Itoa(streak)))
}

func init() {
	watchfire.OfferCondition(watchfire.Offer{
		Name:         "above",
		Summary:      "Finds the series above a limit.",
		Schema:       `{"type":"object","required":["limit"],"properties":{"limit":{"type":"number"}}}`,
		StateVersion: 1,
	}, open)
}

func main() {}
