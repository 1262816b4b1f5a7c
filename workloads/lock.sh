#!/bin/sh
# Writes the lock files anew: of the tests, and with the same versions of each image. Needs uv (https://docs.astral.sh/uv).
set -eu
cd "$(dirname "$0")"
lock() {
	output="$1"
	shift
	uv pip compile --quiet --no-header --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --output-file "$output" "$@"
}
# torch's CUDA wheel loads these on import: cublas cudart cudnn cufft cufile cupti curand cusparse cusparselt nccl nvjitlink nvshmem. What only
# kernels on a GPU use is left out.
lock requirements-cpu.lock --no-emit-package bitsandbytes --no-emit-package triton --no-emit-package nvidia-cusolver --no-emit-package nvidia-cuda-nvrtc \
	--no-emit-package nvidia-nvtx --no-emit-package cuda-bindings --no-emit-package cuda-pathfinder --no-emit-package cuda-toolkit requirements-test.in
lock requirements.lock --constraints requirements-cpu.lock requirements.in
lock requirements-data.lock --constraints requirements-cpu.lock requirements-data.in
