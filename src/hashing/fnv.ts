import type { HashFunction } from '../core/ports.ts'

/** FNV-1a, 64 bits; digests are big-endian. The number is kept as two halves, whose products fit into a double. */
export const fnv1a64: HashFunction = {
  digestBytes: 8,
  digestInto: (message, target, offset) => {
    let high = 0xcbf2_9ce4
    let low = 0x8422_2325
    for (let at = 0; at < message.length; at++) {
      const mixed = (low ^ (message[at] ?? 0)) >>> 0
      // The prime is 2^40 + 435.
      const product = mixed * 435
      high = (high * 435 + Math.floor(product / 2 ** 32) + ((mixed << 8) >>> 0)) >>> 0
      low = product >>> 0
    }
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength)
    view.setUint32(offset, high)
    view.setUint32(offset + 4, low)
  },
}
