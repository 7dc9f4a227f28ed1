/**
 * A second reader of safetensors files, written from the format's description alone and as plainly as can be, to
 * judge the product's reader and writer. It takes all files that the format allows.
 */

interface TinyTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: readonly number[]
}

const ELEMENT_BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
}

/** Throws whatever it throws for what is no safetensors file. */
export function tinyRead(file: Uint8Array): { metadata: Record<string, string>; tensors: Map<string, TinyTensor> } {
  const length = file.slice(0, 8).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
  need(file.length >= 8 && length <= 100_000_000n && length + 8n <= BigInt(file.length), 'length')
  const dataStart = Number(length) + 8
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(file.slice(8, dataStart))
  need(text.startsWith('{'), 'start')
  const header = JSON.parse(text) as Record<string, unknown>
  const metadata = Object.hasOwn(header, '__metadata__') ? (header['__metadata__'] as Record<string, string>) : {}
  need(typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata), 'metadata')
  for (const value of Object.values(metadata)) need(typeof value === 'string', 'metadata')

  const taken = new Uint8Array(file.length - dataStart)
  const tensors = new Map<string, TinyTensor>()
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const info = value as { dtype: string; shape: number[]; data_offsets: number[] }
    const [start = Number.NaN, end = Number.NaN, ...more] = info.data_offsets
    const elementBits = ELEMENT_BITS[info.dtype] ?? Number.NaN
    const lengths = [start, end, ...info.shape]
    need(more.length === 0 && lengths.every((count) => Number.isSafeInteger(count) && count >= 0), 'numbers')
    const bits = info.shape.reduce((product, count) => product * BigInt(count), BigInt(elementBits))
    need(start <= end && end <= taken.length && BigInt(end - start) * 8n === bits, 'size')
    for (let at = start; at < end; at++) {
      need(taken[at] === 0, 'overlap')
      taken[at] = 1
    }
    tensors.set(name, {
      dtype: info.dtype,
      shape: info.shape,
      bytes: Array.from(file.subarray(dataStart + start, dataStart + end)),
    })
  }
  need(!taken.includes(0), 'hole')
  return { metadata, tensors }
}

function need(claim: boolean, what: string): void {
  if (!claim) throw new Error(`no safetensors file: ${what}`)
}
