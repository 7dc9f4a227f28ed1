// HOT: 8,192 messages of 64 bytes take at most 2 ms. Nothing is allocated for a message.
/**
 * XXH3-64 of the lengths that blocks of tokens have (9 to 128 bytes, and more than 240), in 32-bit words, because
 * 64-bit BigInts are some twenty times slower. A pair `low`, `high` is one 64-bit number.
 */

/** A 64-bit number in two words, low first: what a function here answers, by writing it to its argument. */
export type Pair = Uint32Array

const STRIPE_BYTES = 64
const LANES = 8
const SECRET_BYTES = 192
const STRIPES_IN_BLOCK = (SECRET_BYTES - STRIPE_BYTES) / 8

/** 9 to 16 bytes. `flips`: two 64-bit numbers that depend on the seed. */
export function hashTo16(input: DataView, length: number, flips: Uint32Array, into: Pair): void {
  const aLow = input.getUint32(0, true) ^ word(flips, 0)
  const aHigh = input.getUint32(4, true) ^ word(flips, 1)
  const bLow = input.getUint32(length - 8, true) ^ word(flips, 2)
  const bHigh = input.getUint32(length - 4, true) ^ word(flips, 3)
  into[0] = length
  into[1] = 0
  add(into, swapped(aHigh), swapped(aLow))
  add(into, bLow, bHigh)
  addFoldedProduct(into, aLow, aHigh, bLow, bHigh)
  avalanche(into)
}

/** 17 to 128 bytes. `secret`: the 192 bytes as words, the seed added to and taken from them in turns. */
export function hashTo128(input: DataView, length: number, secret: Uint32Array, into: Pair): void {
  into[0] = 0
  into[1] = 0
  addProduct(into, length, PRIME64_1_LOW, PRIME64_1_HIGH)
  // From both ends inwards, 16 bytes each: one pair for every 32 bytes begun.
  for (let pair = (length - 1) >> 5; pair >= 0; pair--) {
    mix16(into, input, 16 * pair, secret, 8 * pair)
    mix16(into, input, length - 16 * (pair + 1), secret, 8 * pair + 4)
  }
  avalanche(into)
}

/** More than 240 bytes. */
export function hashLong(input: DataView, length: number, secret: DataView, into: Pair): void {
  lanes.set(FIRST_LANES)
  const scrambleAt = SECRET_BYTES - STRIPE_BYTES
  for (let at = 0, stripe = 0; at < length - STRIPE_BYTES; at += STRIPE_BYTES) {
    accumulate(input, at, secret, 8 * stripe)
    stripe += 1
    if (stripe === STRIPES_IN_BLOCK) {
      scramble(secret, scrambleAt)
      stripe = 0
    }
  }
  accumulate(input, length - STRIPE_BYTES, secret, scrambleAt - 7)
  into[0] = 0
  into[1] = 0
  addProduct(into, length, PRIME64_1_LOW, PRIME64_1_HIGH)
  for (let index = 0; index < LANES / 2; index++) {
    const at = 11 + 16 * index
    const aLow = word(lanes, 4 * index) ^ secret.getUint32(at, true)
    const aHigh = word(lanes, 4 * index + 1) ^ secret.getUint32(at + 4, true)
    const bLow = word(lanes, 4 * index + 2) ^ secret.getUint32(at + 8, true)
    const bHigh = word(lanes, 4 * index + 3) ^ secret.getUint32(at + 12, true)
    addFoldedProduct(into, aLow, aHigh, bLow, bHigh)
  }
  avalanche(into)
}

const PRIME32_1 = 0x9e3779b1
const PRIME64_1_LOW = 0x85ebca87
const PRIME64_1_HIGH = 0x9e3779b1
const PRIME_MX1_LOW = 0x9e3779f9
const PRIME_MX1_HIGH = 0x16566791

/** Primes of 32 and 64 bits, low word first. */
const FIRST_LANES = [
  [0xc2b2ae3d, 0],
  [0x85ebca87, 0x9e3779b1],
  [0x27d4eb4f, 0xc2b2ae3d],
  [0x9e3779f9, 0x165667b1],
  [0xc2b2ae63, 0x85ebca77],
  [0x85ebca77, 0],
  [0x165667c5, 0x27d4eb2f],
  [0x9e3779b1, 0],
].flat()
/** Eight 64-bit sums. One message is hashed at a time, so they can be here. */
const lanes = new Uint32Array(2 * LANES)

function accumulate(input: DataView, at: number, secret: DataView, secretAt: number): void {
  for (let lane = 0; lane < LANES; lane++) {
    const low = input.getUint32(at + 8 * lane, true)
    const high = input.getUint32(at + 8 * lane + 4, true)
    const keyedLow = (low ^ secret.getUint32(secretAt + 8 * lane, true)) >>> 0
    const keyedHigh = (high ^ secret.getUint32(secretAt + 8 * lane + 4, true)) >>> 0
    addToLane(lane ^ 1, low, high)
    addToLane(lane, Math.imul(keyedLow, keyedHigh) >>> 0, productHigh(keyedLow, keyedHigh))
  }
}

function addToLane(lane: number, low: number, high: number): void {
  const sum = word(lanes, 2 * lane) + low
  lanes[2 * lane] = sum
  lanes[2 * lane + 1] = word(lanes, 2 * lane + 1) + high + (sum > 0xffff_ffff ? 1 : 0)
}

function scramble(secret: DataView, secretAt: number): void {
  for (let lane = 0; lane < LANES; lane++) {
    const high = word(lanes, 2 * lane + 1)
    const low = word(lanes, 2 * lane) ^ (high >>> 15)
    const keyedLow = (low ^ secret.getUint32(secretAt + 8 * lane, true)) >>> 0
    const keyedHigh = high ^ secret.getUint32(secretAt + 8 * lane + 4, true)
    lanes[2 * lane] = Math.imul(keyedLow, PRIME32_1)
    lanes[2 * lane + 1] = productHigh(keyedLow, PRIME32_1) + Math.imul(keyedHigh, PRIME32_1)
  }
}

function mix16(into: Pair, input: DataView, at: number, secret: Uint32Array, secretAt: number): void {
  addFoldedProduct(
    into,
    input.getUint32(at, true) ^ word(secret, secretAt),
    input.getUint32(at + 4, true) ^ word(secret, secretAt + 1),
    input.getUint32(at + 8, true) ^ word(secret, secretAt + 2),
    input.getUint32(at + 12, true) ^ word(secret, secretAt + 3),
  )
}

/** Adds the 128-bit product of two numbers, its halves laid over each other. */
function addFoldedProduct(into: Pair, aLow: number, aHigh: number, bLow: number, bHigh: number): void {
  const crossA = Math.imul(aHigh, bLow) >>> 0
  const crossB = Math.imul(aLow, bHigh) >>> 0
  const word0 = Math.imul(aLow, bLow)
  const sum1 = productHigh(aLow, bLow) + crossA + crossB
  const sum2 =
    productHigh(aHigh, bLow) +
    productHigh(aLow, bHigh) +
    (Math.imul(aHigh, bHigh) >>> 0) +
    Math.floor(sum1 / 0x1_0000_0000)
  const word3 = productHigh(aHigh, bHigh) + Math.floor(sum2 / 0x1_0000_0000)
  add(into, word0 ^ sum2, sum1 ^ word3)
}

/** Adds the lower 64 bits of `factor`, 32 bits, times a 64-bit number. */
function addProduct(into: Pair, factor: number, low: number, high: number): void {
  add(into, Math.imul(factor, low), productHigh(factor, low) + Math.imul(factor, high))
}

/** The upper 32 bits of the product of two 32-bit numbers. */
function productHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  return aHigh * bHigh + (middle >>> 16) + ((aLow * bHigh + (middle & 0xffff)) >>> 16)
}

/** Words may be given signed. */
function add(into: Pair, low: number, high: number): void {
  const sum = word(into, 0) + (low >>> 0)
  into[0] = sum
  into[1] = word(into, 1) + (high >>> 0) + (sum > 0xffff_ffff ? 1 : 0)
}

function avalanche(into: Pair): void {
  const high = word(into, 1)
  const low = (word(into, 0) ^ (high >>> 5)) >>> 0
  const mixedHigh = productHigh(low, PRIME_MX1_LOW) + Math.imul(low, PRIME_MX1_HIGH) + Math.imul(high, PRIME_MX1_LOW)
  into[0] = Math.imul(low, PRIME_MX1_LOW) ^ mixedHigh
  into[1] = mixedHigh
}

/** The four bytes of a word in reverse. */
function swapped(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}

function word(words: Uint32Array, index: number): number {
  return words[index] ?? 0
}
