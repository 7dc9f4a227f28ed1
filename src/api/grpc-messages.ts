/**
 * Messages of `membrane.proto`, as the package that reads the file gives them: names in camel case, numbers of 64 bits
 * as numbers, defaults filled in. What is optional there is missing here when it was not sent.
 */

export interface FragmentMessage {
  readonly contentHash: string
  readonly embedding: readonly number[]
  readonly modelId: string
  readonly layerStart: number
  readonly layerEnd: number
  readonly tokenStart: number
  readonly tokenEnd: number
  readonly size: number
  readonly ttl: number
  readonly reuseScore: number
  readonly versionId: number
  readonly sizeBytes: number
  readonly description: Uint8Array
  readonly key: string
}

export interface StoreRequestMessage {
  readonly fragment: FragmentMessage | null
  readonly nodeId: string
  readonly isPrimary: boolean
  readonly payload: Uint8Array
}

export interface StoreResponseMessage {
  readonly success: boolean
  readonly contentHash: string
  readonly key: string
  readonly outcome: string
}

export interface RetrieveRequestMessage {
  readonly contentHash: string
  readonly key: string
}

export interface RetrieveResponseMessage {
  readonly fragment: FragmentMessage | null
  readonly found: boolean
  readonly payload: Uint8Array
}

export interface InventoryRequestMessage {
  readonly pageSize: number
  readonly pageToken: string
}

export interface InventoryEntryMessage {
  readonly key: string
  readonly contentHash: string
  readonly payloadBytes: number
}

export interface InventoryResponseMessage {
  readonly digest: Readonly<Record<string, number>>
  readonly nodeId: string
  readonly entries: readonly InventoryEntryMessage[]
  readonly nextPageToken: string
}

export interface PrefillRequestMessage {
  readonly promptTokens: readonly number[]
  readonly modelId: string
  readonly session: string
}

export interface PrefillResponseMessage {
  readonly fragments: readonly FragmentMessage[]
  readonly kvSizeMib: number
  readonly latencySeconds: number
  readonly success: boolean
  readonly kvSizeBytes: number
  readonly reusedTokens: number
  readonly prefilledTokens: number
  readonly storedFragments: number
}

export interface HeartbeatResponseMessage {
  readonly nodeId: string
  readonly load: number
  readonly memoryUsedBytes: number
  readonly memoryLimitBytes: number
  readonly fragmentCount: number
  readonly healthy: boolean
}

/** A slice of a payload on its way. */
export interface ChunkMessage {
  readonly data: Uint8Array
  readonly offset: number
}

export interface PutHeaderMessage {
  readonly description: Uint8Array
  readonly foreignKey: Uint8Array
  readonly contentHash: string
  readonly payloadBytes: number
  readonly priority: string
  readonly isPinned: boolean
  readonly expiresAtMs?: number
  readonly mediaType: string
}

export interface PutRequestMessage extends ChunkMessage {
  readonly header?: PutHeaderMessage | null
}

export interface PutResponseMessage {
  readonly key: string
  readonly contentHash: string
  readonly outcome: string
}

export interface GetRequestMessage {
  readonly key: string
  readonly start?: number
  readonly end?: number
}

export interface GetResponseMessage extends ChunkMessage {
  readonly entry?: EntryMessage | null
}

export interface EntryMessage {
  readonly key: string
  readonly contentHash: string
  readonly payloadBytes: number
  readonly description: Uint8Array
  readonly priority: string
  readonly isPinned: boolean
  readonly expiresAtMs?: number
}

export interface HasRequestMessage {
  readonly keys: readonly string[]
  readonly leaseMs?: number
}

export interface HasResponseMessage {
  readonly isPresent: readonly boolean[]
  readonly leasedUntilMs: number
}

export interface LongestPrefixRequestMessage {
  readonly model: string
  readonly blockHashes: readonly string[]
  readonly packed: { readonly chain: string; readonly digestBytes: number; readonly digests: Uint8Array } | null
  readonly blockTokens: number
  readonly leaseMs?: number
}

export interface LongestPrefixResponseMessage {
  readonly blocks: number
  readonly tokens: number
  readonly fragments: readonly (InventoryEntryMessage & { readonly tokenStart: number; readonly tokenEnd: number })[]
  readonly leasedUntilMs: number
}

export interface PromptMessage {
  /** Which of the two was sent. */
  readonly prompt?: 'text' | 'tokens'
  readonly text?: string
  readonly tokens?: { readonly ids: readonly number[] }
  readonly session: string
  readonly reuse: string
}

export interface RebuildRequestMessage {
  readonly prompt: PromptMessage | null
  readonly wantsKvHash: boolean
}

export interface ExplainedSpanMessage {
  readonly start: number
  readonly end: number
  readonly source: string
  readonly bytes: number
  readonly seconds: number
  readonly reason: string
}

export interface RebuildResponseMessage {
  readonly promptTokens: number
  readonly reusedTokens: number
  readonly prefilledTokens: number
  readonly seconds: number
  readonly kvHash: string
  readonly explain: readonly ExplainedSpanMessage[]
  readonly storedFragments: number
  readonly storedBytes: number
  readonly isApproximate: boolean
}

export interface ExplainResponseMessage {
  readonly steps: readonly {
    readonly start: number
    readonly end: number
    readonly source: string
    readonly bytes: number
    readonly expectedSeconds: number
    readonly prefillSeconds: number
    readonly reason: string
  }[]
  readonly expectedSeconds: number
  readonly prefillAllSeconds: number
  readonly refused: readonly string[]
}

export interface GenerateRequestMessage {
  readonly prompt: PromptMessage | null
  readonly maxTokens?: number
  readonly temperature?: number
  readonly topK?: number
  readonly topP?: number
  readonly seed?: number
  readonly wantsKvHash: boolean
}

export interface GenerateSummaryMessage {
  readonly finish: string
  readonly promptTokens?: number
  readonly reusedTokens?: number
  readonly prefilledTokens?: number
  readonly completionTokens?: number
  readonly ttftSeconds: number
  readonly decodeTokensPerSecond?: number
  readonly kvHash: string
  readonly explain: readonly ExplainedSpanMessage[]
  readonly isApproximate: boolean
  readonly isSimulated: boolean
}

export type GenerateResponseMessage = { readonly text: string } | { readonly summary: GenerateSummaryMessage }

export interface TransferRequestMessage {
  readonly peer: string
  readonly token: string
  readonly tls: boolean
}

export interface TransferStateMessage {
  readonly id: number
  readonly peer: string
  readonly state: string
  readonly wantedFragments?: number
  readonly wantedBytes?: number
  readonly acceptedBytes: number
  readonly resumedBytes: number
  readonly discardedBytes: number
  readonly cuts: number
  readonly fetched?: number
  readonly linked?: number
  readonly unfinished?: number
  readonly errorCode: string
  readonly errorMessage: string
}
