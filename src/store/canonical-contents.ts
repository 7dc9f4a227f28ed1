/** Which keys name which content, and how many references of which owner hold it. */
import { assert } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'

/** Content that is kept, or is about to be removed when `references` is 0. */
export interface Content {
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  /** References by owner: a put of an owner that has one need not write the bytes again. */
  readonly ownerReferences: Map<string, number>
  references: number
}

export interface KnownReference {
  /** What it counts in. Content that was lost and put again is another one, which this reference does not hold. */
  readonly content: Content
  readonly expiresAtMs: number | null
}

/** What a reference says of its content. */
export interface Named {
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  readonly expiresAtMs: number | null
}

export class CountedContents {
  readonly #references = new Map<string, KnownReference>()
  readonly #contents = new Map<ContentHash, Content>()
  #payloadBytes = 0
  #contentBytes = 0

  get references(): ReadonlyMap<string, KnownReference> {
    return this.#references
  }

  /** Of all references, each in full. */
  get payloadBytes(): number {
    return this.#payloadBytes
  }

  /** Equal content counts once. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  get(contentHash: ContentHash): Content | undefined {
    return this.#contents.get(contentHash)
  }

  /** The key names this content from now on; what it named before stays held until it is released. */
  hold(key: string, { contentHash, payloadBytes, expiresAtMs }: Named): void {
    let content = this.#contents.get(contentHash)
    if (content === undefined) {
      content = { contentHash, payloadBytes, ownerReferences: new Map(), references: 0 }
      this.#contents.set(contentHash, content)
      this.#contentBytes += payloadBytes
    }
    this.#references.set(key, { content, expiresAtMs })
    this.#payloadBytes += payloadBytes
    const owner = ownerOf(key)
    content.references += 1
    content.ownerReferences.set(owner, (content.ownerReferences.get(owner) ?? 0) + 1)
  }

  /** The key names again what it named before, or nothing. Changes no count. */
  rename(key: string, reference: KnownReference | undefined): void {
    if (reference === undefined) this.#references.delete(key)
    else this.#references.set(key, reference)
  }

  /** One reference of the key's owner less; true when it was the last of all. */
  release(key: string, content: Content): boolean {
    const owner = ownerOf(key)
    const ofOwner = content.ownerReferences.get(owner)
    assert(ofOwner !== undefined && content.references > 0, `${owner} releases content that it does not hold`)
    content.references -= 1
    this.#payloadBytes -= content.payloadBytes
    if (ofOwner === 1) content.ownerReferences.delete(owner)
    else content.ownerReferences.set(owner, ofOwner - 1)
    return content.references === 0
  }

  /** It is gone from the store below, or about to be. What was put again under its hash is another one. */
  drop(content: Content): void {
    if (this.#contents.get(content.contentHash) !== content) return
    this.#contents.delete(content.contentHash)
    this.#contentBytes -= content.payloadBytes
  }
}

/** The part of a key before its first `/`; nothing where there is none. */
export function ownerOf(key: string): string {
  return key.slice(0, Math.max(0, key.indexOf('/')))
}
