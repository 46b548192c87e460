;; The part of WASI's old interface that Go's scheduler and collector call whenever they like: also while the host writes
;; an argument or has an answer freed, when a component may not call out. So it answers by itself. The time is the one
;; that the call began with; who sleeps finds it moved on when it wakes, at once.
(module
  (import "env" "memory" (memory 0))
  ;; In nanoseconds, of both clocks. Never zero: Go takes a clock at zero for a broken one.
  (global $now (mut i64) (i64.const 1000000))

  ;; Sets the time, in milliseconds since 1970.
  (func (export "begin-call") (param $milliseconds i64)
    (global.set $now
      (i64.mul
        (select (local.get $milliseconds) (i64.const 1) (i64.gt_s (local.get $milliseconds) (i64.const 0)))
        (i64.const 1000000))))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (i64.store (local.get $time) (global.get $now))
    (i32.const 0))

  ;; There is nobody else to run.
  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; Everything that is waited for has happened. A subscription has 48 bytes: what the guest calls it, what it is (0 for a
  ;; clock), and from byte 24 a clock's time in nanoseconds with, at byte 40, whether that is no span. An event has 32.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $ready i32) (result i32)
    (i32.store (local.get $ready) (local.get $count))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (i64.store (local.get $out) (i64.load (local.get $in)))
        ;; No error, and of the kind that was waited for.
        (i64.store offset=8 (local.get $out) (i64.shl (i64.load8_u offset=8 (local.get $in)) (i64.const 16)))
        (i64.store offset=16 (local.get $out) (i64.const 0))
        (i64.store offset=24 (local.get $out) (i64.const 0))
        (if (i32.eqz (i32.load8_u offset=8 (local.get $in)))
          (then
            (call $sleep (i64.load offset=24 (local.get $in)) (i32.load8_u offset=40 (local.get $in)))))
        (local.set $in (i32.add (local.get $in) (i32.const 48)))
        (local.set $out (i32.add (local.get $out) (i32.const 32)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  (func $sleep (param $time i64) (param $absolute i32)
    (if (i32.eqz (i32.and (local.get $absolute) (i32.const 1)))
      (then (local.set $time (i64.add (global.get $now) (local.get $time)))))
    ;; A time that has passed, or that does not fit, moves nothing.
    (if (i64.gt_s (local.get $time) (global.get $now))
      (then (global.set $now (local.get $time))))))
