// Package export_watchfire_plugin_condition hands calls to the conditions that were offered.
package export_watchfire_plugin_condition

import (
	watchfire "MODULE/watchfire"
	"MODULE/watchfire/convert"
	bindings "MODULE/watchfire/watchfire_plugin_condition"
	input "MODULE/watchfire/watchfire_plugin_input"
	types "MODULE/watchfire/watchfire_plugin_types"

	wit "MODULE/watchfire/wit/types"
)

// Open prepares a condition for a rule.
func Open(name, config string) wit.Result[uint32, types.PluginError] {
	return convert.Result(watchfire.Conditions.Open(name, config))
}

// Evaluate looks at the batch.
func Evaluate(handle uint32) wit.Result[bindings.Outcome, types.PluginError] {
	return convert.Result(evaluate(handle))
}

func evaluate(handle uint32) (outcome bindings.Outcome, err error) {
	defer watchfire.Recover(&err)
	answer, err := watchfire.Conditions.Begin(handle, input.EvalTimeMs()).Evaluate(watchfire.Batch{}, watchfire.State{})
	for _, finding := range answer.Findings {
		outcome.Findings = append(outcome.Findings, bindings.Finding{
			Series:   uint32(finding.Series),
			Severity: uint8(finding.Severity),
			Value:    finding.Value,
			Summary:  finding.Summary,
		})
	}
	for _, series := range answer.Unknown {
		outcome.Unknown = append(outcome.Unknown, uint32(series))
	}
	return outcome, err
}

// Close forgets a condition.
func Close(handle uint32) { watchfire.Conditions.Close(handle) }
