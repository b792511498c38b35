#!/bin/sh
# Compiles this package, and no dependency of it, with LLVM's branch counters, which `make fuzz` is guided by. It is cargo's
# RUSTC_WORKSPACE_WRAPPER: the compiler and its arguments come as arguments. A stable compiler has what it takes.
rustc="$1"
shift
case " $* " in
    *" --crate-name build_script_build "*) exec "$rustc" "$@" ;;
esac
# Nobody but the fuzzer reads the counters; cargo builds the binary all the same, which is not run.
case " $* " in
    *" --crate-type bin "*) set -- "$@" -Clink-arg=-Wl,--unresolved-symbols=ignore-all ;;
esac
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
