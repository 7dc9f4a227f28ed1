/**
 * Finds what differs between two inventories. Whoever asks has a `Reconciliation`, whoever answers needs no memory of it:
 *
 *   start ──► request ──► answerInventory (the other node) ──► response ──► next ──► request … or null: done
 *
 * Each message carries one level of the tree, by turns of either side: equal inventories exchange a digest and a byte;
 * d differences among n entries some d · 16 · log16(n) digests, in log16(n) / 2 round trips. Pure: knows no connection.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { DIGEST_WORDS, FANOUT, type Inventory, type InventoryEntry, PREFIX_DIGITS_MAX } from './inventory.ts'
import {
  compareBytes,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  type InventoryAnswer,
  type InventoryRequest,
  LISTED_BYTES,
  type PrefixContent,
} from './inventory-messages.ts'
import type { IdPrefix } from './inventory-table.ts'

/** So many entries are listed rather than told apart by 16 digests more: about what takes the same bytes. */
const LISTED_MAX = 24
const ROOT: IdPrefix = { digits: 0, value: 0 }

/** What was found. Either side may have changed meanwhile: these are proposals. */
export interface InventoryDifference {
  /** Beginnings of ids, 8 to 12 bytes, that the other node has and this one has not: for `answerEntries` there. */
  readonly missingHere: readonly Uint8Array[]
  /** What this node has and the other one has not. */
  readonly missingThere: readonly InventoryEntry[]
  /** False when it ended because of their number: compare again when these are dealt with. */
  readonly isComplete: boolean
}

/** The response to a request of another node. Throws INVALID_REQUEST for what `Reconciliation` does not write. */
export function answerInventory(inventory: Inventory, request: Uint8Array): Uint8Array {
  const decoded = decodeRequest(request)
  if (decoded.kind === 'root') {
    const isSame = isAlike(decoded.digest, inventory.root(), 0)
    return encodeResponse([[isSame ? null : contentOf(inventory, ROOT)]])
  }
  return encodeResponse(
    decoded.questions.map(({ prefix, compared }): InventoryAnswer => {
      if (compared === null) return [contentOf(inventory, prefix)]
      const ours = inventory.children(prefix)
      return Array.from({ length: FANOUT }, (_, child) =>
        isAlike(compared, ours, child) ? null : contentOf(inventory, childOf(prefix, child)),
      )
    }),
  )
}

interface WaitingQuestion {
  readonly prefix: IdPrefix
  readonly isCompared: boolean
}

/** One comparison with one other node. */
export class Reconciliation {
  readonly #inventory: Inventory
  readonly #differencesMax: number
  readonly #missingHere: Uint8Array[] = []
  readonly #missingThere: InventoryEntry[] = []
  /** To be asked. The last ones first, so that few wait, however much differs. */
  readonly #waiting: WaitingQuestion[] = []
  #isComplete = true
  #asked: InventoryRequest | null = null
  #questionsAsked = 0

  /** Ends once so many differences were found on one side, 1 to LIMITS.inventoryDifferencesMax. */
  constructor(inventory: Inventory, differencesMax: number = LIMITS.inventoryDifferencesMax) {
    this.#inventory = inventory
    this.#differencesMax = Math.min(differencesMax, LIMITS.inventoryDifferencesMax)
  }

  /** The first request. */
  start(): Uint8Array {
    this.#asked = { kind: 'root', digest: this.#inventory.root() }
    return encodeRequest(this.#asked)
  }

  /**
   * The next request, after the response to the one before; null when nothing is left to ask. Throws INVALID_REQUEST for
   * a malformed response, and LIMIT_REACHED when the other node goes on and on.
   */
  next(response: Uint8Array): Uint8Array | null {
    const asked = this.#asked
    assert(asked !== null, 'a response follows a request')
    this.#asked = null
    const answers = decodeResponse(response, asked)
    if (asked.kind === 'root') this.#compare(ROOT, answers[0]?.[0] ?? null)
    else {
      for (const [index, { prefix, compared }] of asked.questions.entries()) {
        for (const [child, content] of (answers[index] ?? []).entries())
          this.#compare(compared === null ? prefix : childOf(prefix, child), content)
      }
    }
    const found = Math.max(this.#missingHere.length, this.#missingThere.length)
    if (found >= this.#differencesMax && this.#waiting.length > 0) {
      this.#isComplete = false
      return null
    }
    const next = this.#waiting.splice(-LIMITS.inventoryQuestionsMax)
    if (next.length === 0) return null
    this.#questionsAsked += next.length
    const questions = next.map(({ prefix, isCompared }) => {
      return { prefix, compared: isCompared ? this.#inventory.children(prefix) : null }
    })
    this.#asked = { kind: 'questions', questions }
    return encodeRequest(this.#asked)
  }

  /** What was found so far; all of it once `next` has given null. */
  get difference(): InventoryDifference {
    return { missingHere: this.#missingHere, missingThere: this.#missingThere, isComplete: this.#isComplete }
  }

  #compare(prefix: IdPrefix, theirs: PrefixContent | null): void {
    if (theirs === null) return
    if (theirs.kind === 'list') {
      this.#compareLists(prefix, theirs.ids)
      return
    }
    if (prefix.digits >= PREFIX_DIGITS_MAX)
      throw new MembraneError('INVALID_REQUEST', 'An answer about an inventory goes deeper than ids are compared.')
    const ours = this.#inventory.children(prefix)
    for (let child = 0; child < FANOUT; child++) {
      if (isAlike(theirs.digests, ours, child)) continue
      const below = childOf(prefix, child)
      const count = theirs.digests[DIGEST_WORDS * child] ?? 0
      if (count === 0) this.#compareLists(below, [])
      else this.#waiting.push({ prefix: below, isCompared: count > LISTED_MAX && below.digits < PREFIX_DIGITS_MAX })
    }
    if (this.#questionsAsked + this.#waiting.length > LIMITS.inventoryQuestionsTotalMax) {
      const message = `A comparison of inventories does not end: it takes more than ${LIMITS.inventoryQuestionsTotalMax} questions.`
      throw new MembraneError('LIMIT_REACHED', message)
    }
  }

  #compareLists(prefix: IdPrefix, theirs: readonly Uint8Array[]): void {
    const ours = listOf(this.#inventory, prefix)
    let at = 0
    for (const id of theirs) {
      for (; at < ours.length && compareBytes(ours[at]?.id ?? id, id) < 0; at++) this.#note(ours[at]?.entry)
      const own = ours[at]
      if (own !== undefined && compareBytes(own.id, id) === 0) at += 1
      else this.#missingHere.push(idStart(prefix, id))
    }
    for (; at < ours.length; at++) this.#note(ours[at]?.entry)
  }

  #note(entry: InventoryEntry | undefined): void {
    if (entry !== undefined) this.#missingThere.push(entry)
  }
}

function contentOf(inventory: Inventory, prefix: IdPrefix): PrefixContent {
  if (prefix.digits < PREFIX_DIGITS_MAX && inventory.countOf(prefix) > LISTED_MAX)
    return { kind: 'children', digests: inventory.children(prefix) }
  return { kind: 'list', ids: listOf(inventory, prefix).map(({ id }) => id) }
}

interface Listed {
  readonly id: Uint8Array
  readonly entry: InventoryEntry
}

/** In the order of the ids, each without the bytes that the prefix says. */
function listOf(inventory: Inventory, prefix: IdPrefix): readonly Listed[] {
  const start = prefix.digits >>> 1
  const listed: Listed[] = []
  inventory.visit(prefix, (id, entry) => {
    listed.push({ id: id.slice(start, start + LISTED_BYTES), entry })
  })
  return listed.sort((one, other) => compareBytes(one.id, other.id))
}

/** Puts the bytes back that the prefix says. */
function idStart({ digits, value }: IdPrefix, listed: Uint8Array): Uint8Array {
  const bytes = digits >>> 1
  const id = new Uint8Array(bytes + listed.length)
  const whole = digits % 2 === 0 ? value : Math.floor(value / FANOUT)
  for (let at = 0; at < bytes; at++) id[at] = (whole / 256 ** (bytes - 1 - at)) & 0xff
  id.set(listed, bytes)
  return id
}

function childOf({ digits, value }: IdPrefix, child: number): IdPrefix {
  return { digits: digits + 1, value: FANOUT * value + child }
}

function isAlike(theirs: Uint32Array, ours: Uint32Array, node: number): boolean {
  for (let word = DIGEST_WORDS * node; word < DIGEST_WORDS * (node + 1); word++)
    if (theirs[word] !== ours[word]) return false
  return true
}
