/**
 * XXH3-64 with a seed, as xxHash 0.8 defines it. Packages either take no seed for a call (`hash-wasm` makes a
 * WebAssembly instance for each) or pay for a native call; messages of some 100 bytes cost less here than either.
 * The lengths of blocks are in `xxh3-words.ts`; the others, of names and odd block sizes, are here, for the reader:
 * unsigned 64-bit BigInts, cut by `asUintN`.
 */
import type { HashFunction } from '../core/ports.ts'
import { hashLong, hashTo128, hashTo16, type Pair } from './xxh3-words.ts'

const PRIME64_1 = 0x9e3779b185ebca87n
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn
const PRIME64_3 = 0x165667b19e3779f9n
const PRIME_MX1 = 0x165667919e3779f9n
const PRIME_MX2 = 0x9fb21c651e98df25n

/** 192 bytes that xxHash chose. */
const SECRET = Uint8Array.from(
  (
    'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221' +
    'b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8' +
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb' +
    '170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e'
  ).match(/../g) ?? [],
  (pair) => Number.parseInt(pair, 16),
)
const secretView = new DataView(SECRET.buffer)

/** Digests are 8 bytes, big-endian. `seed` is an unsigned 64-bit number. */
export function xxh3x64(seed: bigint): HashFunction {
  const seeded = seededSecret(seed)
  const seededWords = wordsOf(seeded)
  const flips = wordsOf(flipsTo16(seed))
  const hash: Pair = new Uint32Array(2)
  return {
    digestBytes: 8,
    digestInto: (message, target, offset) => {
      const { length } = message
      const input = viewOf(message)
      if (length > 240) hashLong(input, length, seeded, hash)
      else if (length > 16 && length <= 128) hashTo128(input, length, seededWords, hash)
      else if (length > 8 && length <= 16) hashTo16(input, length, flips, hash)
      else split(rareLength(input, length, seed), hash)
      writeBigEndian(hash, target, offset)
    },
  }
}

function rareLength(input: DataView, length: number, seed: bigint): bigint {
  if (length > 128) return hashTo240(input, length, seed)
  if (length > 3) return hashTo8(input, length, seed)
  if (length > 0) return hashTo3(input, length, seed)
  return avalanche64(seed ^ secret(56) ^ secret(64))
}

function hashTo3(input: DataView, length: number, seed: bigint): bigint {
  const [first, middle, last] = [input.getUint8(0), input.getUint8(length >> 1), input.getUint8(length - 1)]
  const combined = BigInt(((first << 16) | (middle << 24) | last | (length << 8)) >>> 0)
  const flip = BigInt((secretView.getUint32(0, true) ^ secretView.getUint32(4, true)) >>> 0)
  return avalanche64(combined ^ u64(flip + seed))
}

function hashTo8(input: DataView, length: number, seed: bigint): bigint {
  const first = BigInt(input.getUint32(0, true))
  const last = BigInt(input.getUint32(length - 4, true))
  const flip = u64((secret(8) ^ secret(16)) - (seed ^ (swap(seed & 0xffff_ffffn) & 0xffff_ffff_0000_0000n)))
  const keyed = u64(last + (first << 32n)) ^ flip
  const rotated = keyed ^ rotate(keyed, 49n) ^ rotate(keyed, 24n)
  const once = u64(rotated * PRIME_MX2)
  const twice = u64((once ^ ((once >> 35n) + BigInt(length))) * PRIME_MX2)
  return twice ^ (twice >> 28n)
}

function hashTo240(input: DataView, length: number, seed: bigint): bigint {
  let sum = u64(BigInt(length) * PRIME64_1)
  for (let index = 0; index < 8; index++) sum = u64(sum + mix16(input, 16 * index, 16 * index, seed))
  sum = avalanche(sum)
  for (let index = 8; index < length >> 4; index++) {
    sum = u64(sum + mix16(input, 16 * index, 16 * (index - 8) + 3, seed))
  }
  return avalanche(u64(sum + mix16(input, length - 16, 136 - 17, seed)))
}

/** What messages of 9 to 16 bytes are laid over. */
function flipsTo16(seed: bigint): DataView {
  const view = new DataView(new ArrayBuffer(16))
  view.setBigUint64(0, u64((secret(24) ^ secret(32)) + seed), true)
  view.setBigUint64(8, u64((secret(40) ^ secret(48)) - seed), true)
  return view
}

function seededSecret(seed: bigint): DataView {
  const view = new DataView(new ArrayBuffer(SECRET.length))
  for (let at = 0; at < SECRET.length; at += 16) {
    view.setBigUint64(at, u64(secret(at) + seed), true)
    view.setBigUint64(at + 8, u64(secret(at + 8) - seed), true)
  }
  return view
}

function mix16(input: DataView, at: number, secretAt: number, seed: bigint): bigint {
  const low = input.getBigUint64(at, true) ^ u64(secret(secretAt) + seed)
  const high = input.getBigUint64(at + 8, true) ^ u64(secret(secretAt + 8) - seed)
  return foldedProduct(low, high)
}

/** The 128-bit product of two numbers, its halves laid over each other. */
function foldedProduct(a: bigint, b: bigint): bigint {
  const aLow = a & 0xffff_ffffn
  const aHigh = a >> 32n
  const bLow = b & 0xffff_ffffn
  const bHigh = b >> 32n
  const lowLow = u64(aLow * bLow)
  const highLow = u64(aHigh * bLow)
  const lowHigh = u64(aLow * bHigh)
  const highHigh = u64(aHigh * bHigh)
  const middle = u64((lowLow >> 32n) + (highLow & 0xffff_ffffn) + lowHigh)
  const upper = u64((highLow >> 32n) + (middle >> 32n) + highHigh)
  const lower = u64(u64(middle << 32n) | (lowLow & 0xffff_ffffn))
  return upper ^ lower
}

function secret(at: number): bigint {
  return secretView.getBigUint64(at, true)
}

function avalanche(hash: bigint): bigint {
  const mixed = u64((hash ^ (hash >> 37n)) * PRIME_MX1)
  return mixed ^ (mixed >> 32n)
}

function avalanche64(hash: bigint): bigint {
  const once = u64((hash ^ (hash >> 33n)) * PRIME64_2)
  const twice = u64((once ^ (once >> 29n)) * PRIME64_3)
  return twice ^ (twice >> 32n)
}

function rotate(value: bigint, bits: bigint): bigint {
  return u64(value << bits) | (value >> (64n - bits))
}

/** The bytes of a 64-bit number in reverse. */
function swap(value: bigint): bigint {
  swapView.setBigUint64(0, value, true)
  return swapView.getBigUint64(0)
}

const swapView = new DataView(new ArrayBuffer(8))

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value)
}

function split(value: bigint, into: Pair): void {
  into[0] = Number(value & 0xffff_ffffn)
  into[1] = Number(value >> 32n)
}

function writeBigEndian(hash: Pair, target: Uint8Array, offset: number): void {
  const [low = 0, high = 0] = [hash[0], hash[1]]
  for (let byte = 0; byte < 4; byte++) {
    target[offset + byte] = high >>> (24 - 8 * byte)
    target[offset + 4 + byte] = low >>> (24 - 8 * byte)
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function wordsOf(view: DataView): Uint32Array {
  return Uint32Array.from({ length: view.byteLength / 4 }, (_, index) => view.getUint32(4 * index, true))
}
