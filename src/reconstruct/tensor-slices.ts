/**
 * Slices of tensors along one axis, out of a tensor and into one. The axes before it make runs that lie apart, the
 * axes after it make each run longer; every byte is copied once, from where it lies to where it belongs.
 */
import { assert } from '../core/errors.ts'
import { DTYPE_BYTES } from '../core/safetensors-dtypes.ts'
import type { TensorInfo } from '../core/safetensors.ts'

export interface AxisSlice {
  readonly data: Uint8Array
  /** Length of the axis in this tensor, and where on it the slice begins. */
  readonly axisLength: number
  readonly start: number
}

/** Copies `length` steps of `axis`. `info` gives all other axes, which both tensors have alike. */
export function copySlice(info: TensorInfo, axis: number, length: number, from: AxisSlice, to: AxisSlice): void {
  const runs = product(info.shape.slice(0, axis))
  const stepBytes = product(info.shape.slice(axis + 1)) * DTYPE_BYTES[info.dtype]
  for (const { data, axisLength, start } of [from, to]) {
    assert(start >= 0 && start + length <= axisLength, 'the slice lies on the axis')
    assert(data.length === runs * axisLength * stepBytes, 'the data is all of the tensor')
  }
  for (let run = 0; run < runs; run++) {
    const source = (run * from.axisLength + from.start) * stepBytes
    const target = (run * to.axisLength + to.start) * stepBytes
    to.data.set(from.data.subarray(source, source + length * stepBytes), target)
  }
}

function product(lengths: readonly number[]): number {
  return lengths.reduce((all, length) => all * length, 1)
}
