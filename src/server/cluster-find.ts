/**
 * Who else has fragments of a prompt: the directory says which nodes to ask, and they say what they have, leased, so that
 * it is still there when it is fetched. What they say is checked by whoever uses it: descriptions against the prompt's
 * block hashes, bytes against their content hash.
 */
import { type BlockHashes, sliceBlockHashes } from '../core/block-hashes.ts'
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import { parseContentHash, parseModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { FragmentDirectory, PromptName, RemoteFragment } from '../core/ports.ts'
import { BLOCK_NAME_BYTES, type BlockDirectory, type BlockNames } from '../cluster/block-directory.ts'
import { chooseHolders } from '../cluster/choose-holders.ts'
import { countField, textField } from '../cluster/fields.ts'
import type { Membership } from '../cluster/membership.ts'
import { type PeerCalls, type PeerHandlers, peerMessage } from '../cluster/peer-calls.ts'
import { WireReader } from '../transfer/wire-reader.ts'
import { WireWriter } from '../transfer/wire-writer.ts'
import { decodeDescription, encodeDescription } from '../core/fragment-codec.ts'
import type { IndexedFragment } from '../indices/indexed-fragment.ts'
import type { Fabric } from './fabric.ts'

/** Kind of the message. */
const FIND = 'find'
/** From the call on; a rebuild waits less long when computing is faster. */
const FIND_SECONDS = 5

export interface ClusterFindParts {
  readonly membership: Membership
  readonly directory: BlockDirectory
  readonly calls: PeerCalls
}

/** See the top of this file: the side that asks. Nodes that fail have nothing. */
export class ClusterFind implements FragmentDirectory {
  readonly #parts: ClusterFindParts
  readonly #leaseMs: number

  /** What is found is leased for `leaseMs`. */
  constructor(parts: ClusterFindParts, leaseMs: number) {
    this.#parts = parts
    this.#leaseMs = leaseMs
  }

  async locate({ tenant, model, hashes }: PromptName, options: CallOptions = {}): Promise<readonly RemoteFragment[]> {
    const { membership, directory } = this.#parts
    const others = membership.members().filter(({ node, state }) => node !== membership.self.node && state === 'alive')
    if (hashes.count === 0 || others.length === 0) return []
    const asked = sliceBlockHashes(hashes, 0, Math.min(hashes.count, LIMITS.directoryNamesMax))
    const holdings = await directory.locate(tenant, blockNames(asked), options)
    const chosen = chooseHolders({ holdings, members: membership.members(), self: membership.self })
    const answers = await Promise.all(
      chosen.map(({ member, start, end }) =>
        this.#ask(member, { tenant, model, hashes: sliceBlockHashes(asked, start, end) }, options).catch(() => []),
      ),
    )
    return answers.flat()
  }

  async #ask(
    { node, address }: { readonly node: string; readonly address: string },
    { tenant, model, hashes }: PromptName,
    { signal }: CallOptions,
  ): Promise<readonly RemoteFragment[]> {
    const { chain, digestBytes, bytes } = hashes
    const question = peerMessage(FIND, { model, chain, digestBytes, leaseMs: this.#leaseMs }, bytes)
    const answer = await this.#parts.calls.call(address, question, { tenant, signal, timeoutSeconds: FIND_SECONDS })
    return decodeFound(node, answer.bytes)
  }
}

/** The side that answers. What it gives ends it. */
export function answerFinds(handlers: PeerHandlers, fabric: Fabric): () => void {
  return handlers.on(FIND, async ({ fields, bytes }, { tenant }) => {
    const model = parseModelFingerprint(textField(fields, 'model'))
    const hashes = hashesOf(textField(fields, 'chain', 64), countField(fields, 'digestBytes', 64), bytes)
    const leaseMs = Math.max(1, countField(fields, 'leaseMs', LIMITS.leaseMsMax))
    const found = await fabric.of(tenant).fragmentsOf({ model, hashes }, leaseMs)
    return peerMessage('found', { fragments: found.length }, encodeFound(found))
  })
}

/** First bytes of each block hash. */
export function blockNames({ bytes, digestBytes, count }: BlockHashes): BlockNames {
  if (digestBytes === BLOCK_NAME_BYTES) return bytes
  const names = new Uint8Array(BLOCK_NAME_BYTES * count)
  for (let index = 0; index < count; index++) {
    const digest = bytes.subarray(index * digestBytes, index * digestBytes + Math.min(digestBytes, BLOCK_NAME_BYTES))
    names.set(digest, BLOCK_NAME_BYTES * index)
  }
  return names
}

function hashesOf(chain: string, digestBytes: number, bytes: Uint8Array): BlockHashes {
  const count = bytes.length / digestBytes
  if (digestBytes > 0 && Number.isInteger(count) && count <= LIMITS.directoryNamesMax && /^[a-z0-9-]+$/.test(chain))
    return { chain, digestBytes, count, bytes }
  throw new MembraneError(
    'INVALID_REQUEST',
    `Block hashes of ${digestBytes} bytes each were expected, at most ${LIMITS.directoryNamesMax}; found ${bytes.length} bytes.`,
  )
}

function encodeFound(found: readonly IndexedFragment[]): Uint8Array {
  const writer = new WireWriter()
  for (const { description, contentHash, payloadBytes } of found) {
    const encoded = encodeDescription(description)
    writer.varint(encoded.length)
    writer.raw(encoded)
    const hash = new TextEncoder().encode(contentHash)
    writer.varint(hash.length)
    writer.raw(hash)
    writer.varint(payloadBytes)
  }
  return writer.written()
}

/** A fragment is called here by what it says that it is, and not as its holder calls it. */
function decodeFound(node: string, bytes: Uint8Array): readonly RemoteFragment[] {
  const reader = new WireReader(bytes, 'An answer of fragments', LIMITS.clusterMessageBytesMax)
  const found: RemoteFragment[] = []
  while (reader.left > 0 && found.length < LIMITS.rebuildFragmentsMax) {
    const descriptionBytes = reader.varint('length of a description', LIMITS.storeHeadBytesMax)
    const description = decodeDescription(reader.raw('description', descriptionBytes))
    const hashBytes = reader.varint('length of a content hash', 80)
    const contentHash = parseContentHash(new TextDecoder().decode(reader.raw('content hash', hashBytes)))
    const payloadBytes = reader.varint('payload bytes', LIMITS.payloadBytesMax)
    found.push({ node, key: fragmentKey(contextName(description)), description, contentHash, payloadBytes })
  }
  return found
}
