;; Finds the series above zero: a plugin without any compiler, to see what the contract is made of.
;;
;; Memory: 16 the list of descriptors, 32 the descriptor, 128 texts, 256 the answer of `open`, 512 the answer of
;; `evaluate`, from 4096 on what the host writes and the findings. Zero means `ok`, an empty list or the handle 0.
(module
  (import "watchfire:plugin/input@0.2.0" "latest" (func $latest (param i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))

  ;; One descriptor: a condition, name and summary as addresses and lengths, no schema, the state's version 1.
  (data (i32.const 16) "\20\00\00\00\01\00\00\00")
  (data (i32.const 32) "\00\00\00\00\80\00\00\00\0a\00\00\00\90\00\00\00\17\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00")
  (data (i32.const 128) "above-zero")
  (data (i32.const 144) "Finds what is over zero")
  (data (i32.const 176) "is above zero")

  ;; Memory for the host to write into: the next free bytes, and more pages where these end.
  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
        (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
        (unreachable)))
    (local.get $at))

  (func (export "watchfire:plugin/plugin@0.2.0#describe") (result i32) (i32.const 16))
  (func (export "watchfire:plugin/condition@0.2.0#open") (param i32 i32 i32 i32) (result i32) (i32.const 256))
  (func (export "watchfire:plugin/condition@0.2.0#close") (param i32))

  (func (export "watchfire:plugin/condition@0.2.0#evaluate") (param $handle i32) (result i32)
    (local $values i32) (local $count i32) (local $series i32) (local $value f64) (local $finding i32) (local $found i32)
    ;; What the last call left behind is not needed any more.
    (global.set $heap (i32.const 4096))
    ;; The newest values come as an address and a length, at 1024.
    (call $latest (i32.const 1024))
    (local.set $values (i32.load (i32.const 1024)))
    (local.set $count (i32.load (i32.const 1028)))
    ;; A finding takes 24 bytes: series, severity, value, address and length of its summary.
    (local.set $finding
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $count) (i32.const 24))))
    (i32.store (i32.const 516) (local.get $finding))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $series) (local.get $count)))
        (local.set $value
          (f64.load (i32.add (local.get $values) (i32.shl (local.get $series) (i32.const 3)))))
        (if (f64.gt (local.get $value) (f64.const 0))
          (then
            (i32.store (local.get $finding) (local.get $series))
            (i32.store8 offset=4 (local.get $finding) (i32.const 1))
            (f64.store offset=8 (local.get $finding) (local.get $value))
            (i32.store offset=16 (local.get $finding) (i32.const 176))
            (i32.store offset=20 (local.get $finding) (i32.const 13))
            (local.set $finding (i32.add (local.get $finding) (i32.const 24)))
            (local.set $found (i32.add (local.get $found) (i32.const 1)))))
        (local.set $series (i32.add (local.get $series) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 520) (local.get $found))
    (i32.const 512)))
