/**
 * Questions about another inventory, and answers, on the wire:
 *
 *   request   'M' 'Q' 1 | 0 | digest of the root
 *             'M' 'Q' 1 | number of questions, 1 to 256 | each: 2 · digits + isCompared | prefix | compared: 16 digests
 *   response  'M' 'A' 1 | number of answers | each: 0 same, 1 list, 2 children, or for 16 compared digests: mask, then those
 *   list      entries | digits of the prefix / 2 are left out of each id, and 8 bytes follow; in ascending order
 *   digest    entries, varint | unless there are none: 8 bytes of their sum
 */
import { LIMITS } from '../core/limits.ts'
import { DIGEST_WORDS, FANOUT, PREFIX_DIGITS_MAX } from './inventory.ts'
import type { IdPrefix } from './inventory-table.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

const REQUEST = Uint8Array.of(0x4d, 0x51, 1)
const RESPONSE = Uint8Array.of(0x4d, 0x41, 1)
/** Bytes of an id that a list names, after those that the prefix says. */
export const LISTED_BYTES = 8

/** `compared`: digests of the 16 prefixes below it, at whoever asks; only those that differ are answered. Null: list it. */
export interface InventoryQuestion {
  readonly prefix: IdPrefix
  readonly compared: Uint32Array | null
}

export type InventoryRequest =
  | { readonly kind: 'root'; readonly digest: Uint32Array }
  | { readonly kind: 'questions'; readonly questions: readonly InventoryQuestion[] }

/** What is below a prefix: ids, or digests of the 16 longer prefixes. */
export type PrefixContent =
  | { readonly kind: 'list'; readonly ids: readonly Uint8Array[] }
  | { readonly kind: 'children'; readonly digests: Uint32Array }

/** For a question: the content of its prefix, or of each of the 16 below it that differs; null where they are alike. */
export type InventoryAnswer = readonly (PrefixContent | null)[]

export function encodeRequest(request: InventoryRequest): Uint8Array {
  const writer = new WireWriter()
  writer.raw(REQUEST)
  if (request.kind === 'root') {
    writer.byte(0)
    writeDigests(writer, request.digest)
    return writer.written()
  }
  writer.varint(request.questions.length)
  for (const { prefix, compared } of request.questions) {
    writer.byte(2 * prefix.digits + (compared === null ? 0 : 1))
    writer.varint(prefix.value)
    if (compared !== null) writeDigests(writer, compared)
  }
  return writer.written()
}

/** Throws INVALID_REQUEST for anything that `encodeRequest` does not write. */
export function decodeRequest(bytes: Uint8Array): InventoryRequest {
  const reader = new WireReader(bytes, 'A question about an inventory')
  reader.magic(REQUEST)
  const count = reader.varint('the number of questions', LIMITS.inventoryQuestionsMax)
  const request: InventoryRequest =
    count === 0
      ? { kind: 'root', digest: readDigests(reader, 1) }
      : { kind: 'questions', questions: Array.from({ length: count }, () => readQuestion(reader)) }
  reader.end()
  return request
}

function readQuestion(reader: WireReader): InventoryQuestion {
  const form = reader.byte('the form of a question')
  const digits = form >>> 1
  const isCompared = (form & 1) === 1
  if (digits > PREFIX_DIGITS_MAX - (isCompared ? 1 : 0))
    throw reader.invalid(`a prefix of ${digits} digits is too long`)
  const prefix = { digits, value: reader.varint('a prefix', FANOUT ** digits - 1) }
  return { prefix, compared: isCompared ? readDigests(reader, FANOUT) : null }
}

/** One answer a question; of the root's question, one content. */
export function encodeResponse(answers: readonly InventoryAnswer[]): Uint8Array {
  const writer = new WireWriter(1024)
  writer.raw(RESPONSE)
  writer.varint(answers.length)
  for (const answer of answers) {
    if (answer.length === FANOUT) {
      const mask = answer.reduce((bits, content, index) => (content === null ? bits : bits | (1 << index)), 0)
      writer.byte(mask & 0xff)
      writer.byte(mask >>> 8)
      for (const content of answer) if (content !== null) writeContent(writer, content)
    } else writeContent(writer, answer[0] ?? null)
  }
  return writer.written()
}

/** The answers to `request`. Throws INVALID_REQUEST for anything that `encodeResponse` does not write for it. */
export function decodeResponse(bytes: Uint8Array, request: InventoryRequest): readonly InventoryAnswer[] {
  const reader = new WireReader(bytes, 'An answer about an inventory')
  reader.magic(RESPONSE)
  const questions = request.kind === 'root' ? [null] : request.questions
  const count = reader.varint('the number of answers', questions.length, questions.length)
  const answers: InventoryAnswer[] = []
  for (let index = 0; index < count; index++) {
    if ((questions[index]?.compared ?? null) === null) {
      const content = readContent(reader)
      if (content === null && request.kind !== 'root') throw reader.invalid('a list is missing')
      answers.push([content])
      continue
    }
    const mask = reader.byte('a mask') | (reader.byte('a mask') << 8)
    const isSet = (child: number): boolean => ((mask >>> child) & 1) === 1
    answers.push(
      Array.from({ length: FANOUT }, (_, child) => {
        const content = isSet(child) ? readContent(reader) : null
        if (isSet(child) && content === null) throw reader.invalid('what differs has no content')
        return content
      }),
    )
  }
  reader.end()
  return answers
}

function writeContent(writer: WireWriter, content: PrefixContent | null): void {
  if (content === null) writer.byte(0)
  else if (content.kind === 'list') {
    writer.byte(1)
    writer.varint(content.ids.length)
    for (const id of content.ids) writer.raw(id)
  } else {
    writer.byte(2)
    writeDigests(writer, content.digests)
  }
}

function readContent(reader: WireReader): PrefixContent | null {
  const kind = reader.byte('the kind of an answer')
  if (kind === 0) return null
  if (kind === 2) return { kind: 'children', digests: readDigests(reader, FANOUT) }
  if (kind !== 1) throw reader.invalid(`an answer of kind ${kind} is unknown`)
  const count = reader.varint('the length of a list', LIMITS.inventoryListMax)
  const ids: Uint8Array[] = []
  for (let index = 0; index < count; index++) {
    const id = reader.raw('an id', LISTED_BYTES)
    const before = ids.at(-1)
    if (before !== undefined && compareBytes(before, id) >= 0) throw reader.invalid('a list is not in ascending order')
    ids.push(id)
  }
  return { kind: 'list', ids }
}

function writeDigests(writer: WireWriter, words: Uint32Array): void {
  for (let node = 0; node < words.length; node += DIGEST_WORDS) {
    writer.varint(words[node] ?? 0)
    if (words[node] === 0) continue
    const sum = new Uint8Array(8)
    const view = new DataView(sum.buffer)
    view.setUint32(0, words[node + 1] ?? 0)
    view.setUint32(4, words[node + 2] ?? 0)
    writer.raw(sum)
  }
}

function readDigests(reader: WireReader, count: number): Uint32Array {
  const words = new Uint32Array(DIGEST_WORDS * count)
  for (let node = 0; node < words.length; node += DIGEST_WORDS) {
    words[node] = reader.varint('a number of entries', LIMITS.inventoryEntriesMax)
    if (words[node] === 0) continue
    const sum = reader.raw('a sum', 8)
    const view = new DataView(sum.buffer, sum.byteOffset)
    words[node + 1] = view.getUint32(0)
    words[node + 2] = view.getUint32(4)
  }
  return words
}

/** Below 0 where the first one comes first; both are equally long. */
export function compareBytes(first: Uint8Array, second: Uint8Array): number {
  for (let at = 0; at < first.length; at++) {
    const difference = (first[at] ?? 0) - (second[at] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
