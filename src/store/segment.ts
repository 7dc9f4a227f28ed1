/**
 * The segments of a data directory and what of them is still needed: live puts, and kill records while the segment
 * that they point into exists. A sealed segment of which nothing is needed is condemned. Its file goes at the end of
 * the next sync, when what replaced its records is on the device; it is gone when the sync after that has ended.
 */
import { assert } from '../core/errors.ts'

export interface Segment {
  readonly id: number
  /** Holds one put and nothing else. */
  readonly isOwn: boolean
  /** Length of the file. */
  bytes: number
  liveBytes: number
  /** Of kill records that are still needed. */
  killBytes: number
  /** Bytes of the kill records that point here, by the segment that they are in. */
  readonly killers: Map<number, number>
  /** Takes no further records. */
  isSealed: boolean
  isCondemned: boolean
}

export class SegmentTable {
  readonly #segments = new Map<number, Segment>()
  #condemned: Segment[] = []
  #condemnedBytes = 0
  #unlinked: Segment[] = []

  add(id: number, isOwn: boolean, bytes: number): Segment {
    assert(!this.#segments.has(id), `segment ${id} is there already`)
    const killers = new Map<number, number>()
    const segment = { id, isOwn, bytes, liveBytes: 0, killBytes: 0, killers, isSealed: isOwn, isCondemned: false }
    this.#segments.set(id, segment)
    return segment
  }

  get(id: number): Segment | undefined {
    return this.#segments.get(id)
  }

  /** Those that hold something that is needed, or may come to. */
  *kept(): Generator<Segment> {
    for (const segment of this.#segments.values()) if (!segment.isCondemned) yield segment
  }

  addLive(id: number, bytes: number): void {
    this.#known(id).liveBytes += bytes
  }

  /** A put is no longer needed. */
  addDead(id: number, bytes: number): void {
    const segment = this.#known(id)
    segment.liveBytes -= bytes
    assert(segment.liveBytes >= 0, `segment ${id} has ${segment.liveBytes} live bytes`)
    this.#judge(segment)
  }

  /** A kill record lies in segment `id`. It is needed from now on if its target's segment is there. */
  addKill(id: number, targetSegment: number, bytes: number): void {
    const target = this.#segments.get(targetSegment)
    if (target === undefined) return
    this.#known(id).killBytes += bytes
    target.killers.set(id, (target.killers.get(id) ?? 0) + bytes)
  }

  /** The kill records of this segment are somewhere else now. */
  dropKillsOf(id: number): void {
    for (const target of this.#segments.values()) target.killers.delete(id)
    const segment = this.#known(id)
    segment.killBytes = 0
    this.#judge(segment)
  }

  seal(segment: Segment): void {
    segment.isSealed = true
    this.#judge(segment)
  }

  /** Those whose files may go once all that has been written is on the device. */
  takeCondemned(): readonly Segment[] {
    const condemned = this.#condemned
    this.#condemned = []
    this.#condemnedBytes = 0
    return condemned
  }

  /** Its file could not be removed. */
  condemnAgain(segment: Segment): void {
    this.#condemned.push(segment)
    this.#condemnedBytes += segment.bytes
  }

  /** The names are gone, but not yet from the device. */
  markUnlinked(segments: readonly Segment[]): void {
    this.#unlinked.push(...segments)
  }

  takeUnlinked(): readonly Segment[] {
    const unlinked = this.#unlinked
    this.#unlinked = []
    return unlinked
  }

  /** They will not come back after a power cut, so nothing need say that their records are dead. */
  markGone(segments: readonly Segment[]): void {
    for (const gone of segments) {
      this.#segments.delete(gone.id)
      for (const [id, bytes] of gone.killers) {
        const killer = this.#segments.get(id)
        if (killer === undefined) continue
        killer.killBytes -= bytes
        this.#judge(killer)
      }
    }
  }

  get condemnedBytes(): number {
    return this.#condemnedBytes
  }

  get hasCondemned(): boolean {
    return this.#condemned.length > 0
  }

  #judge(segment: Segment): void {
    if (!segment.isSealed || segment.isCondemned || segment.liveBytes > 0 || segment.killBytes > 0) return
    segment.isCondemned = true
    this.condemnAgain(segment)
  }

  #known(id: number): Segment {
    const segment = this.#segments.get(id)
    assert(segment !== undefined, `segment ${id} is not known`)
    return segment
  }
}

export function deadBytesOf(segment: Segment): number {
  return segment.bytes - segment.liveBytes - segment.killBytes
}

export const SEGMENTS_DIRECTORY = 'segments'

export function segmentPath(id: number): string {
  return `${SEGMENTS_DIRECTORY}/${id}.seg`
}

/** Of a segment that is not complete. */
export function stagedSegmentPath(id: number): string {
  return `${SEGMENTS_DIRECTORY}/${id}.seg.new`
}

/** Null when the name is not one of a segment. */
export function parseSegmentName(name: string): { readonly id: number; readonly isStaged: boolean } | null {
  const [, digits, staged] = /^([1-9][0-9]{0,14})\.seg(\.new)?$/.exec(name) ?? []
  return digits === undefined ? null : { id: Number(digits), isStaged: staged !== undefined }
}
