// Package runtime gives the host memory to write into, and each call its time and its random numbers.
package runtime

import (
	"runtime"
	"unsafe"
)

// The build puts the clock into the component, because Go reads it where a component may not call out.
//
//go:wasmimport watchfire begin-call
func beginCall(milliseconds int64)

// The build adds it to Go's own runtime, which has no other way to begin its random numbers anew.
//
//go:linkname reseed runtime.watchfireReseed
func reseed(seed uint64)

// BeginCall makes the clock and the random numbers, the order of maps with them, a function of the call.
func BeginCall(milliseconds int64, seed uint64) {
	beginCall(milliseconds)
	reseed(seed ^ uint64(milliseconds)*0x9e3779b97f4a7c15)
}

// Allocate gives memory that stays where it is until the pinner lets go of it.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Elements as wide as the alignment are aligned by Go itself.
	count := (size + align - 1) / align
	var memory unsafe.Pointer
	switch align {
	case 1:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint8, count)))
	case 2:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint16, count)))
	case 4:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint32, count)))
	case 8:
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint64, count)))
	default:
		panic("no type is aligned like this")
	}
	pinner.Pin(memory)
	return memory
}

// The host's arguments stay where they are until a call has taken them over.
var arguments runtime.Pinner

// Unpin lets go of what the host wrote.
func Unpin() { arguments.Unpin() }

// The adapter of WASI asks for its page before Go's own allocator is set up; that comes from here.
var (
	early     [192 << 10]byte
	earlyUsed uintptr
	started   bool
)

func init() { started = true }

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("memory that was handed out does not grow")
	}
	if started {
		return Allocate(&arguments, size, align)
	}
	start := uintptr(unsafe.Pointer(&early[0]))
	at := (start + earlyUsed + align - 1) &^ (align - 1)
	earlyUsed = at + size - start
	if earlyUsed > uintptr(len(early)) {
		panic("too much memory is asked for before the start")
	}
	return unsafe.Pointer(&early[at-start])
}
