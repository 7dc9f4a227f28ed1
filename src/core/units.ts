/** Conversions between units, each in one place. MiB = 2^20 bytes, Gbps = 10^9 bit/s (the reading that reproduces the paper’s Table 5). */

const BYTES_PER_MIB = 2 ** 20
export const BITS_PER_GIGABIT = 1e9

/** An average month: 365.25 / 12 days. */
export const SECONDS_PER_MONTH = (365.25 / 12) * 86_400

export function bytesPerSecondFromGbps(gbps: number): number {
  return (gbps * BITS_PER_GIGABIT) / 8
}

export function gbpsFromBytesPerSecond(bytesPerSecond: number): number {
  return (bytesPerSecond * 8) / BITS_PER_GIGABIT
}

export function bytesFromMib(mib: number): number {
  return mib * BYTES_PER_MIB
}
