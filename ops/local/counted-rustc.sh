#!/bin/sh
# Compiles this package, but none of its dependencies, with LLVM's branch counters, which guide `make fuzz`. Cargo calls it
# as RUSTC_WORKSPACE_WRAPPER, with the compiler and its arguments as arguments. A stable compiler is enough.
rustc="$1"
shift
case " $* " in
    *" --crate-name build_script_build "*) exec "$rustc" "$@" ;;
esac
# Only the fuzzer defines the functions that the counters need. Cargo builds the daemon's binary too, but it is never run.
case " $* " in
    *" --crate-type bin "*) set -- "$@" -Clink-arg=-Wl,--unresolved-symbols=ignore-all ;;
esac
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
