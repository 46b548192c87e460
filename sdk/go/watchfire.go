// Package watchfire is the SDK for plugins in Go: what a plugin offers, as interfaces, over the generated bindings.
//
// A plugin announces what it offers in an init function with [OfferCondition], [OfferRouter] or [OfferFormatter].
// Everything must be a function of what is passed in: the clock stands at the time of the call, random numbers repeat,
// and memory may vanish between two calls. What has to be remembered belongs into [State].
//
// This folder is written by `watchfire plugin build`; changes to it are lost.
package watchfire

import (
	"fmt"
	"hash/fnv"
	"runtime/debug"

	"MODULE/watchfire/wit/runtime"
)

// Severity says how bad something is.
type Severity uint8

// From the least to the worst. Only Critical should wake somebody.
const (
	Info Severity = iota
	Warning
	Error
	Critical
)

// InvalidConfig is returned by an open function: the configuration cannot be used until it is changed.
type InvalidConfig struct {
	// Path is a JSON pointer such as /teams/payments, empty for the whole.
	Path string
	// Message says what is wrong and what would be right.
	Message string
}

func (e InvalidConfig) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Message) }

// BadInput is returned where this input cannot be handled, but the next one may be.
type BadInput string

func (e BadInput) Error() string { return string(e) }

// Unsupported is returned by the SDK where the plugin offers nothing of that name.
type Unsupported string

func (e Unsupported) Error() string { return string(e) }

// Offer is one thing that a plugin offers.
type Offer struct {
	// Name is what users write: lower case, digits and dashes.
	Name string
	// Summary is one sentence.
	Summary string
	// Schema is the JSON Schema of the configuration; may be empty.
	Schema string
	// StateVersion is raised when the layout of the values in State changes.
	StateVersion uint32
}

// Registry holds what was offered; the exports of the component read it.
type Registry[T any] struct {
	Offers []Offer
	open   map[string]func(config []byte) (T, error)
	opened []opened[T]
}

type opened[T any] struct {
	value T
	// What the random numbers of its calls are made from, with their time.
	seed uint64
}

func (r *Registry[T]) add(offer Offer, open func(config []byte) (T, error)) {
	if r.open == nil {
		r.open = map[string]func(config []byte) (T, error){}
	}
	r.Offers = append(r.Offers, offer)
	r.open[offer.Name] = open
}

// Open prepares what is offered under a name and answers with its handle.
func (r *Registry[T]) Open(name, config string) (handle uint32, err error) {
	defer Recover(&err)
	open, known := r.open[name]
	if !known {
		return 0, Unsupported(fmt.Sprintf("this plugin offers no %q", name))
	}
	value, err := open([]byte(config))
	if err != nil {
		return 0, err
	}
	seed := fnv.New64a()
	seed.Write([]byte(config))
	r.opened = append(r.opened, opened[T]{value, seed.Sum64()})
	return uint32(len(r.opened) - 1), nil
}

// Begin is what was opened under a handle, for a call at a time in milliseconds since 1970.
func (r *Registry[T]) Begin(handle uint32, at int64) T {
	opened := r.opened[handle]
	runtime.BeginCall(at, opened.seed)
	return opened.value
}

// Close forgets what was opened under a handle.
func (r *Registry[T]) Close(handle uint32) {
	r.opened[handle] = opened[T]{}
}

// What the plugin offers.
var (
	Conditions Registry[Condition]
	Routers    Registry[Router]
	Formatters Registry[Formatter]
)

// Recover turns a panic into an error that names the place, so that it costs this call and not the instance.
func Recover(err *error) {
	if reason := recover(); reason != nil {
		*err = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
	}
}
