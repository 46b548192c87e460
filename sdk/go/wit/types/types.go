// Package types holds the generic types that the generated bindings speak: what WIT calls option, result and tuple.
package types

// Unit is a value that says nothing.
type Unit struct{}

// Tuple2 is a pair.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

// The tags of an Option.
const (
	OptionNone uint8 = iota
	OptionSome
)

// Option is a value or nothing.
type Option[T any] struct {
	some  bool
	value T
}

// None is nothing.
func None[T any]() Option[T] { return Option[T]{} }

// Some is a value.
func Some[T any](value T) Option[T] { return Option[T]{some: true, value: value} }

// Tag is OptionNone or OptionSome.
func (o Option[T]) Tag() uint8 {
	if o.some {
		return OptionSome
	}
	return OptionNone
}

// IsNone tells whether there is no value.
func (o Option[T]) IsNone() bool { return !o.some }

// IsSome tells whether there is a value.
func (o Option[T]) IsSome() bool { return o.some }

// Some is the value; there must be one.
func (o Option[T]) Some() T {
	if !o.some {
		panic("there is no value")
	}
	return o.value
}

// The tags of a Result.
const (
	ResultOk uint8 = iota
	ResultErr
)

// Result is a value or an error.
type Result[T, E any] struct {
	failed bool
	ok     T
	err    E
}

// Ok is a value.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{ok: value} }

// Err is an error.
func Err[T, E any](err E) Result[T, E] { return Result[T, E]{failed: true, err: err} }

// Tag is ResultOk or ResultErr.
func (r Result[T, E]) Tag() uint8 {
	if r.failed {
		return ResultErr
	}
	return ResultOk
}

// IsErr tells whether it is an error.
func (r Result[T, E]) IsErr() bool { return r.failed }

// Ok is the value; there must be one.
func (r Result[T, E]) Ok() T {
	if r.failed {
		panic("this is an error")
	}
	return r.ok
}

// Err is the error; there must be one.
func (r Result[T, E]) Err() E {
	if !r.failed {
		panic("this is no error")
	}
	return r.err
}
