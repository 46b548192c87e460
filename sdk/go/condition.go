package watchfire

import (
	"errors"
	"time"

	input "MODULE/watchfire/watchfire_plugin_input"
	log "MODULE/watchfire/watchfire_plugin_log"
	state "MODULE/watchfire/watchfire_plugin_state"
)

// Condition decides which series are in trouble.
type Condition interface {
	// Evaluate looks at a batch. What is in neither list of the outcome is fine.
	Evaluate(batch Batch, state State) (Outcome, error)
}

// OfferCondition announces a condition; open is called once per rule, with that rule's configuration as JSON.
func OfferCondition(offer Offer, open func(config []byte) (Condition, error)) { Conditions.add(offer, open) }

// Finding is one series in trouble.
type Finding struct {
	// Series is its index in the batch; each at most once.
	Series   int
	Severity Severity
	// Value is the number to show.
	Value float64
	// Summary is one sentence for whoever reads the alert.
	Summary string
}

// Outcome is what a condition answers.
type Outcome struct {
	// Findings are the series whose alert is active.
	Findings []Finding
	// Unknown are the series of which nothing can be said; their alerts stay as they are.
	Unknown []int
}

// Batch is what a condition looks at: series with rows, in columns. It may be used during Evaluate only.
type Batch struct{}

// At is the time of the evaluation. There is no other clock.
func (Batch) At() time.Time { return time.UnixMilli(input.EvalTimeMs()).UTC() }

// Len is the number of series.
func (Batch) Len() int { return int(input.SeriesCount()) }

// Latest is the newest value of each series, NaN where there is none.
func (Batch) Latest() []float64 { return input.Latest() }

// IDs are the stable ids of the series: the keys for what is remembered per series.
func (Batch) IDs() []uint64 { return input.SeriesIds() }

// Offsets say where each series' rows begin, and at last the number of rows.
func (Batch) Offsets() []uint32 { return input.Offsets() }

// Timestamps are the rows' times in milliseconds since 1970.
func (Batch) Timestamps() []int64 { return input.Timestamps() }

// Values are the rows' values.
func (Batch) Values() []float64 { return input.Values() }

// Label is one label of one series. Ask for those that fire, not for all.
func (Batch) Label(series int, name string) (string, bool) {
	label := input.Label(uint32(series), name)
	if label.IsNone() {
		return "", false
	}
	return label.Some(), true
}

// Labels are all labels of one series.
func (Batch) Labels(series int) map[string]string {
	labels := map[string]string{}
	for _, pair := range input.Labels(uint32(series)) {
		labels[pair.F0] = pair.F1
	}
	return labels
}

// LabelColumn is one label of all series: the distinct values, and for each series the index of its value, 4294967295
// where it has no such label.
func (Batch) LabelColumn(name string) ([]string, []uint32) { return input.LabelColumn(name) }

// EventBodies are the bodies of all events: where each begins in the bytes, and at last their number.
func (Batch) EventBodies() ([]uint32, []byte) { return input.EventBodies() }

// EventColumn is one field of all events, as LabelColumn.
func (Batch) EventColumn(name string) ([]string, []uint32) { return input.EventColumn(name) }

// Event is one event of a stream; nested fields are flattened with dots.
type Event struct {
	// ID is the id at its source; may be empty.
	ID   string
	Time time.Time
	// Kind is what kind of event it is, such as login_failed.
	Kind string
	// Body is the unstructured part, such as a log line; may be empty.
	Body string
	// Fields are everything structured, as text.
	Fields map[string]string
}

// Event is the event of one row; there is none over an expression.
func (Batch) Event(row int) (Event, bool) {
	given := input.EventAt(uint32(row))
	if given.IsNone() {
		return Event{}, false
	}
	event := given.Some()
	fields := map[string]string{}
	for _, pair := range event.Fields {
		fields[pair.F0] = pair.F1
	}
	at := time.UnixMilli(event.TimeMs).UTC()
	return Event{ID: event.Id, Time: at, Kind: event.Kind, Body: event.Body, Fields: fields}, true
}

// State is what a condition remembers: durable, one per rule. Writes count only if Evaluate returns no error.
type State struct{}

// Get is the value of a key.
func (State) Get(key string) ([]byte, bool) {
	value := state.Get(key)
	if value.IsNone() {
		return nil, false
	}
	return value.Some(), true
}

// Set writes a value; an error says which limit would be passed.
func (State) Set(key string, value []byte) error {
	if result := state.Set(key, value); result.IsErr() {
		return errors.New(result.Err())
	}
	return nil
}

// Delete removes a key.
func (State) Delete(key string) { state.Delete(key) }

// Version is the state version of whichever version of the plugin wrote what is remembered; this one's own where nothing
// is.
func (State) Version() uint32 { return state.Version() }

// Log writes a line to the host's log, under the plugin's name.
func Log(level LogLevel, message string) { log.Log(uint8(level), message) }

// LogLevel says how important a line is.
type LogLevel uint8

// From the least to the most important.
const (
	LogDebug LogLevel = iota
	LogInfo
	LogWarn
	LogError
)
