/**
 * Every bound on outside data, in one place: the value, why, and what happens on reaching it.
 */
export const LIMITS = {
  /** Characters in one trace line; longer is rejected with INVALID_TRACE. A 1M-token prompt has 2,000 block ids, about 14 kB. */
  traceLineCharactersMax: 4 * 1024 * 1024,
  /** Requests in one trace; more is rejected with LIMIT_REACHED. Columns take about 40 bytes a request. */
  traceRequestsMax: 20_000_000,
  /** Block ids in one trace; more is rejected with LIMIT_REACHED. Four bytes each: 1 GB. */
  traceBlockIdsMax: 250_000_000,
  /** Blocks, or block units, of one simulated prefix cache; more is rejected with INVALID_CONFIG. Up to 52 bytes each when full. */
  cacheBlocksMax: 2 ** 26,
  /** Requests of one observed run; more is rejected with LIMIT_REACHED. Calibration simulates a third of them hundreds of times. */
  observedRequestsMax: 20_000,
  /** Bytes of observed requests, unpacked; more is rejected before parsing. About 3 kB for each of them. */
  observedFileBytesMax: 64 * 1024 * 1024,
  /** Points in a profile; more is rejected with INVALID_PROFILE. Interpolation builds one piece per pair. */
  profilePointsMax: 4096,
  /** Components of a mixture workload; more is rejected with INVALID_CONFIG. Every evaluation walks all of them. */
  mixtureComponentsMax: 64,
  /** Independent runs of one simulation; more is rejected. Each costs its requests anew. */
  replicationsMax: 256,
  /** Steps of a rate curve, and events of a simulation file; more is rejected. A week of minutes is 10,080. */
  rateCurveStepsMax: 100_000,
  simulationEventsMax: 10_000,
  /** Simulated seconds: of a run, a step of a curve, until an event; more is rejected. Ten years: beyond, nobody plans. */
  simulatedSecondsMax: 10 * 365.25 * 86_400,
  /** Seconds of a period; less is rejected. A control loop that runs more often is most of the run. */
  periodSecondsMin: 0.001,
  /** Seconds of a delay, such as a change of role or a round trip; more is rejected. A day: beyond, it is an event. */
  delaySecondsMax: 86_400,
  /** Bandwidth of one transfer, or that an event leaves, 10^9 bit/s; less is rejected. A kilobit a second: a prompt's KV takes months. */
  flowGbpsMin: 1e-6,
  /** Squared variation of the gaps between requests; outside is rejected. Beyond, gamma gaps leave the range of numbers. */
  burstinessMin: 1e-6,
  burstinessMax: 1e6,
  /** Mean turns of an agent's session; more is rejected. A turn a minute for a week. */
  agentTurnsMax: 10_000,
  /** Prefix blocks of an agent's longest prompt; more is rejected with INVALID_CONFIG. Each session holds so many ids. */
  agentPromptBlocksMax: 65_536,
  /** Replicas of a calibrated engine; more is rejected with INVALID_CONFIG. Each arrival looks at all of them. */
  engineReplicasMax: 1024,
  /** Slots of an engine, and tokens of its iteration and of its KV cache; more is rejected with INVALID_CONFIG. Far above any engine. */
  engineSequencesMax: 65_536,
  engineBatchTokensMax: 100_000_000,
  engineKvTokensMax: 1e12,
  /** Iterations that an engine decides ahead; more is rejected with INVALID_CONFIG. Engines use 1 or 2. */
  engineStepsInFlightMax: 16,
  /** Points of a sweep; more is rejected. Each is a simulation. */
  sweepPointsMax: 10_000,
  /** Threads of one command; more is rejected. */
  workersMax: 256,
  /** Single requests whose timeline is kept; more is rejected. About 300 bytes each in the file. */
  timelinesMax: 100_000,
  /** Requests of one simulation; more is rejected. A counter of that size is still exact, and takes minutes. */
  simulatedRequestsMax: 1_000_000_000,
  /** Requests per second; outside is rejected. One in twelve days to one a nanosecond. */
  rateRpsMin: 1e-6,
  rateRpsMax: 1e9,
  /** Instances in one pool; more is rejected with INVALID_CONFIG. The optimizer visits every split. */
  poolInstancesMax: 4096,
  /** Link bandwidth, 10^9 bit/s; outside is rejected. A bit a second to an exabit: beyond, quotients leave the range of numbers. */
  linkGbpsMin: 1e-9,
  linkGbpsMax: 1e9,
  /** Tokens of one request; more is rejected. Ten times the longest context served today. */
  requestTokensMax: 100_000_000,
  /** Bytes of a configuration or profile file; more is rejected before parsing. */
  configFileBytesMax: 16 * 1024 * 1024,
  /** Bytes of a store key, UTF-8; more is rejected with INVALID_REQUEST. Keys of engines take some 200. */
  storeKeyBytesMax: 1024,
  /** Bytes of an entry's head; more is rejected with INVALID_REQUEST. A block hash takes about 70: enough for 800 and a text. */
  storeHeadBytesMax: 64 * 1024,
  /** Bytes of one payload; more is rejected with INVALID_REQUEST. An array of bytes in memory ends near here. */
  payloadBytesMax: 4 * 1024 ** 3 - 1,
  /** Removals of content that were answered and are still under way; beyond, the next put or removal waits. */
  backgroundRemovalsMax: 64,
  /** Milliseconds of a lease; more is rejected with INVALID_REQUEST. Leases are renewed; nothing else ends one early. */
  leaseMsMax: 10 * 60_000,
  /** Entries of one disk store; a put of another key is rejected with STORE_FULL. The index takes some 200 bytes each: 3 GB. */
  diskEntriesMax: 16_000_000,
  /** Bytes of a segment that small payloads share; more is rejected with INVALID_CONFIG. Offsets within it are 32 bits. */
  segmentBytesMax: 1024 ** 3,
  /** Bytes of a damaged payload that a scrub keeps as evidence; a longer one is kept as far as that. It is held in memory. */
  scrubEvidenceBytesMax: 64 * 1024 * 1024,
  /** Bytes of one Redis value; more is rejected with LIMIT_REACHED. `proto-max-bulk-len` of a server that nobody configured. */
  redisValueBytesMax: 512 * 1024 ** 2,
  /** Files of a quarantine, and bytes of them all; what is found damaged beyond is counted and not kept. Enough for somebody to look at. */
  quarantineFilesMax: 64,
  quarantineBytesMax: 1024 ** 3,
  /** Characters of a block hash; longer is rejected with INVALID_REQUEST. 64 bytes of digest and a chain id. */
  blockHashCharactersMax: 192,
  /** Tokens of a block; more is rejected with INVALID_CONFIG. Engines use 1 to some 1,000 (hybrid models). */
  blockTokensMax: 65_536,
  /** Bytes of a salt, an adapter or model name, a medium's identifier or a seed, UTF-8; more is rejected with INVALID_REQUEST. */
  chainTextBytesMax: 1024,
  /** Media of one prompt; more is rejected with INVALID_REQUEST. Every page of a long document as an image, and more. */
  chainMediaMax: 16_384,
  /** Layers of a model, and KV heads of a layer; more is rejected with INVALID_FRAGMENT. The largest models have some hundred. */
  fragmentLayersMax: 65_536,
  fragmentHeadsMax: 65_536,
  /** Characters of a dtype, layout, position encoding, pool or media type; more is rejected with INVALID_FRAGMENT. Keys hold four of them. */
  fragmentLabelCharactersMax: 96,
  /** Parts of one fragment group; more is rejected with INVALID_FRAGMENT. Each is looked up before any is used. */
  fragmentGroupPartsMax: 65_536,
  /** Bytes of a safetensors header; more is rejected with INVALID_FRAGMENT before parsing. A tensor takes about 90: enough for 10,000. */
  safetensorsHeaderBytesMax: 1024 * 1024,
  /** Named lineages of prefix versions; beyond, the one that was longest not added to is evicted. */
  prefixLineagesMax: 16_384,
  /** Versions of one lineage; beyond, the oldest is evicted, and its successors follow its parent. Walks visit all of them. */
  prefixVersionsMax: 1024,
  /** Fragments in a node's indices; another one is refused with LIMIT_REACHED and stays unfound. A kilobyte or two each. */
  indexFragmentsMax: 2 ** 20,
  /** Pairs of a block and a fragment of a node; a fragment above it is refused with LIMIT_REACHED. 64 bytes each. */
  indexFragmentBlocksMax: 2 ** 23,
  /** Pairs of a block and another node; what exceeds it is refused, and counted. 64 bytes each: a gigabyte. */
  indexHolderBlocksMax: 2 ** 24,
  /** Fragments that cover one block; another one is refused with LIMIT_REACHED. 80 layers of 8 heads are 640; each new one looks at all. */
  indexFragmentsOfBlockMax: 4096,
  /** Tenants, hash chains and models together, of one index; another one is refused with LIMIT_REACHED. */
  indexNamespacesMax: 65_536,
  /** Nodes that one index knows; another one is refused with LIMIT_REACHED. */
  indexNodesMax: 65_536,
  /** Candidates over one token that a plan of a rebuild compares; the dearest beyond are refused. Copies on a few nodes and tiers. */
  planOverlapMax: 16,
  /** Places whose speed is remembered; beyond, the one that was longest not read is forgotten. Some hundred bytes each. */
  measuredPlacesMax: 1024,
  /** Refusals that a rebuild of the indices explains; the others are counted. */
  rebuildReasonsMax: 100,
  /** Tenants with cache statistics of their own; the others are counted together. About a kilobyte each. */
  statisticsTenantsMax: 1024,
  /** Numbers in one embedding; more is rejected with INVALID_REQUEST. The largest models in use give 4,096. */
  embeddingDimensionsMax: 8192,
  /** Ids of one vector index; a greater one is a bug of the caller. A page of vectors is allocated for each 1,024. */
  vectorIdsMax: 2 ** 24,
  /** Nearest neighbours asked for at once; more is rejected with INVALID_REQUEST. Approximate search costs more than that many. */
  nearestMax: 1024,
  /** Entries that one clustering looks at; more is rejected with INVALID_REQUEST. Each is a search: 6 s of them by USearch. */
  clusterEntriesMax: 20_000,
  /** Keys of one access that are linked with each other; those after them are not. A prompt of a million tokens in fragments of 256. */
  coAccessKeysMax: 4096,
  /** Characters of a session's name; more is rejected with INVALID_REQUEST. Clients use UUIDs and short paths. */
  sessionNameCharactersMax: 512,
  /** Depth and nodes of a subgraph; more is rejected with INVALID_REQUEST. Each node brings all its edges. */
  subgraphDepthMax: 16,
  subgraphNodesMax: 10_000,
  /** Weight of an edge of the graph, above 0; outside is rejected with INVALID_REQUEST. Beyond, sums lose small ones. */
  edgeWeightMax: 1e9,
  /** Bytes of a file of word vectors; more is rejected with LIMIT_REACHED. A million words of 300 dimensions. */
  wordVectorsFileBytesMax: 512 * 1024 * 1024,
  /** Places at which the moved index keeps equal blocks of tokens; beyond, the oldest is forgotten. Each is looked at for every match. */
  movedPlacesMax: 8,
  /** Stretches of a prompt for which KV of other positions is proposed; those after them are computed. */
  movedRunsMax: 64,
  /** Numbers of one key, and tokens of the vocabulary, of a simulated model; more is rejected with INVALID_CONFIG. The largest have 576 and 262,144. */
  simulatedHeadDimMax: 65_536,
  simulatedVocabularyTokensMax: 2 ** 20,
  /** Characters of a text that are embedded; the rest is left out. Means hardly move after some thousand words. */
  embeddedCharactersMax: 256 * 1024,
  /** Requests that wait for a context of a node; more are refused with LIMIT_REACHED. Each holds its prompt. */
  nodeRequestsWaitingMax: 1024,
  /** Engines whose rates a data directory remembers; the one that was longest not used is forgotten. Some kilobytes each. */
  ratedEnginesMax: 64,
  /** Bytes of a prompt's text on the command line; more is rejected with LIMIT_REACHED. Some 10 M tokens. */
  promptBytesMax: 64 * 1024 * 1024,
  /** Bytes of a model file; more is rejected with LIMIT_REACHED before anything is read. All of it is held in memory. */
  modelFileBytesMax: 64 * 1024 ** 3,
  /** Bytes before the tensors of a GGUF file; more is rejected with INVALID_MODEL. Vocabularies of 262,144 tokens take some 12 MB. */
  ggufHeaderBytesMax: 128 * 1024 * 1024,
  /** Metadata and tensors of a GGUF file; more is rejected with INVALID_MODEL. Files have some 40 and at most some thousands. */
  ggufMetadataMax: 16_384,
  ggufTensorsMax: 65_536,
  /** Bytes of a metadata key and of a tensor's name; more is rejected with INVALID_MODEL. The format allows 65,535 and 64. */
  ggufKeyBytesMax: 65_535,
  ggufTensorNameBytesMax: 64,
  /** Axes of a tensor; more is rejected with INVALID_MODEL. What ggml has. */
  ggufTensorAxesMax: 4,
  /** Texts in all arrays of a GGUF file together; more is rejected with INVALID_MODEL. Tokens and merges of the largest are 800,000; 30 bytes each. */
  ggufTextsMax: 4_194_304,
  /** Alignment of a GGUF file's tensors, bytes; more is rejected with INVALID_MODEL. 32 everywhere; a huge page is 2 MiB. */
  ggufAlignmentBytesMax: 2 * 1024 * 1024,
  /** Tokens of a vocabulary; more is rejected with INVALID_MODEL. The largest have 262,144. */
  vocabularyTokensMax: 1_048_576,
  /** Characters of a token; more is rejected with INVALID_MODEL. Longest are runs of 256 spaces; looking for a merge costs as much. */
  tokenCharactersMax: 1024,
  /** Tokens of a vocabulary that are cut out of a text before it is split; more is rejected with INVALID_MODEL. Models have some 200. */
  userDefinedTokensMax: 8192,
  /** Characters of a text that is encoded; more is rejected with INVALID_REQUEST. Half a million tokens; as one word, what regular expressions can match. */
  encodedTextCharactersMax: 2 * 1024 * 1024,
  /** Words whose tokens are kept, and the characters of one; beyond, the cache starts anew, and longer ones are not kept. About 10 MB. */
  cachedWordsMax: 65_536,
  cachedWordCharactersMax: 48,
  /** Threads of one in-process engine; more is rejected with INVALID_REQUEST. All wait for each other some 50 times a call. */
  engineThreadsMax: 64,
  /** Fragments of one node, and those of all others, that one rebuild looks at; those after them are not used. */
  rebuildFragmentsMax: 65_536,
  /** Stretches of a prompt for which other nodes are asked what computing would take; those after them are computed here. */
  rebuildOffersMax: 64,
  /** Other places that are tried for a span whose read failed; then it is computed. */
  rebuildRetriesMax: 3,
  /** Characters of a provider's key, and bytes of the file that holds it; more is rejected with INVALID_CONFIG. Tokens of gateways have some 2,000. */
  apiKeyCharactersMax: 8192,
  /** Bytes of one answer of a provider, unpacked; more is PROVIDER_MALFORMED. A streamed token takes about 250: a quarter of a million tokens. */
  providerAnswerBytesMax: 64 * 1024 * 1024,
  /** Bytes of the text of a provider's refusal; what comes after is not read. Only its beginning is shown. */
  providerRefusalBytesMax: 64 * 1024,
  /** Tries of one request after the first; more is rejected with INVALID_CONFIG. */
  providerRetriesMax: 20,
  /** Milliseconds that are waited for a provider, in one stretch; more is rejected with INVALID_CONFIG. A day. */
  providerWaitMsMax: 86_400_000,
  /** Contexts of one engine that an option may allow, and threads of it; more is rejected with INVALID_CONFIG. Each context takes its memory at once. */
  computeContextsMax: 1024,
  computeThreadsMax: 1024,
  /** Model files of one list; more is rejected with LIMIT_REACHED. The header of each is read. */
  listedModelsMax: 1024,
  /** Tensors of a model file, and its settings; more is rejected with INVALID_MODEL. Large models have some thousand. */
  modelEntriesMax: 1_000_000,
  /** Keys, or blocks, of one look-up; more is rejected with INVALID_REQUEST. A prompt of a million tokens in blocks of 16. */
  lookUpKeysMax: 65_536,
  /** Bytes of a JSON body; more is rejected with LIMIT_REACHED before parsing. A look-up of 65,536 keys takes some 10 MB. */
  jsonBodyBytesMax: 16 * 1024 * 1024,
  /**
   * Milliseconds for one body of bytes over HTTP, however steadily it comes; then DEADLINE_EXCEEDED, and its room in the
   * budget of bodies is free. A body that takes longer at `bodyBytesPerSecondMin`, which the client counts with too, has
   * that long: more than ten minutes only where the configuration allows payloads beyond 600 MB.
   */
  bodyMsMax: 600_000,
  bodyBytesPerSecondMin: 1_000_000,
  /** Texts that end an answer, and the characters of one; more is rejected with INVALID_REQUEST. What comes is compared with all of them. */
  stopTextsMax: 16,
  stopCharactersMax: 256,
  /** Messages of one conversation; more is rejected with INVALID_REQUEST. The longest agents have some thousand turns. */
  chatMessagesMax: 16_384,
  /** Prompts of one text completion, computed one after the other; more is rejected with INVALID_REQUEST. */
  completionPromptsMax: 64,
  /** Arguments of one RESP command; more breaks the stream, and the connection is closed. Redis takes 1,048,576, some 100 bytes each. */
  respArgumentsMax: 131_072,
  /** Keys of look-ups that one connection sends one after another and that are asked together; those after them are asked next. */
  respKeysAtOnceMax: 4096,
  /** Keys that KEYS answers with, and that one step of SCAN looks at; more is an error of KEYS, and left to the next step of SCAN. */
  respKeysMax: 100_000,
  /** Walks of SCAN that wait to be gone on with; beyond, the one that waited longest is ended. Each holds the keys of its start. */
  respCursorsMax: 64,
  /** Credentials of one server; more is rejected with INVALID_CONFIG. Each takes some 500 bytes of memory. */
  credentialsMax: 65_536,
  /** Characters of a token that is looked up; a longer one is not known. Ours have 47. */
  credentialCharactersMax: 512,
  /** Callers whose rates are kept; beyond, the one that came first begins anew. As many as credentials; certificates of an authority may be more. */
  rateBucketsMax: 65_536,
  /** Bytes of one audit file, and how many older ones are kept; then the oldest is removed. About 300 bytes an action. */
  auditFileBytesMax: 16 * 1024 * 1024,
  auditFilesMax: 8,
  /** Characters of one field of an audit line; what is longer is cut, and says so. */
  auditFieldCharactersMax: 1024,
  /** Bytes of a PEM file; more is rejected with INVALID_CONFIG before it is parsed. Bundles of all public authorities have 250 kB. */
  pemFileBytesMax: 4 * 1024 * 1024,
  /** Milliseconds of a TLS handshake; a connection that takes longer is closed. Ten round trips to the other side of the world. */
  handshakeMsMax: 5000,
  /** Bytes of one gRPC message; more is rejected before it is read. Larger payloads go in pieces. Gathered in memory. */
  grpcMessageBytesMax: 16 * 1024 * 1024,
  /** Bytes of a payload in one message of a gRPC put; more is rejected with LIMIT_REACHED. The package reads 16 ahead. */
  grpcChunkBytesMax: 1024 * 1024,
  /** Calls of one gRPC connection at a time; one more waits for its turn, by HTTP/2. */
  grpcCallsMax: 256,
  /** Messages of one gRPC call that were not sent yet; beyond, nothing more is read from who does not take them. */
  grpcUnsentMessagesMax: 16,
  /** Milliseconds until the next message of a gRPC request must have come; then DEADLINE_EXCEEDED. It holds room meanwhile. */
  grpcStallMsMax: 30_000,
  /** Fragments in one page of a gRPC inventory; the rest is on the next one. Some 2 MB: clients take 4 by default. */
  grpcInventoryMax: 5000,
  /** Bytes of the head of an answer that a client reads; more is PEER_UNAVAILABLE. Servers send some 500. */
  responseHeadBytesMax: 32 * 1024,
  /** Bytes of the body of an error that a client reads; of a longer one, only the status counts. They have some 500. */
  responseErrorBytesMax: 64 * 1024,
  /** Bytes of an answer in JSON that a client reads; more is PEER_UNAVAILABLE. A page of 1,000 long descriptions takes 64 MB. */
  responseJsonBytesMax: 128 * 1024 * 1024,
  /** Bytes of one event of a stream that a client reads; more is PEER_UNAVAILABLE. The last has every token and every span. */
  responseEventBytesMax: 16 * 1024 * 1024,
  /** Tries of one call of a client after the first; more is rejected with INVALID_CONFIG. */
  clientRetriesMax: 100,
  /** Connections of a client, for bytes and for control each; more is rejected with INVALID_CONFIG. */
  clientConnectionsMax: 1024,
  /** Milliseconds that a client waits for one call; more is rejected with INVALID_CONFIG. A day. */
  clientTimeoutMsMax: 86_400_000,
  /** Entries of one page of a listing; more is rejected with INVALID_REQUEST. Some 300 bytes each. */
  listingPageMax: 10_000,
  /** Listings that one tenant has under way; beyond, the one that was longest not continued is forgotten. */
  listingsPerTenantMax: 16,
  /** Listings of all tenants; beyond, the one that was longest not continued is forgotten. Each holds a page, and may hold the keys of a store. */
  listingsMax: 256,
  /** Entries of the inventory in its old shape, which has no pages of its own accord; beyond, it says how to go on. */
  legacyInventoryEntriesMax: 10_000,
  /** Entries of one inventory; another one is refused with LIMIT_REACHED. As many as a disk store holds: a gigabyte. */
  inventoryEntriesMax: 16_000_000,
  /** Doors and routes that requests are counted by; those beyond are counted together. Doors have some hundred commands. */
  meteredRoutesMax: 1024,
  /** Tenants with a quota of their own; another one is rejected with LIMIT_REACHED. Some 150 bytes each in the file, which is written whole. */
  tenantQuotasMax: 65_536,
  /** Bytes of a JSON body that carries a payload in base64; more is rejected with LIMIT_REACHED before parsing. It is held three times over while it is read. */
  base64BodyBytesMax: 64 * 1024 * 1024,
  /** Bytes of payloads of more than a MiB that answers hold as a whole; beyond, they are read from below the memory tier in chunks, as they are taken. */
  answersBytesMax: 512 * 1024 * 1024,
  /** Entries of a memory tier; beyond, some leave it. Their places take 32 bytes each, of which only those in use are backed. */
  hotEntriesMax: 4_194_304,
  /** Milliseconds for which a request over lm:// may be half there, or its answer not be taken; then the connection is cut. It holds memory meanwhile. */
  lmStallMsMax: 30_000,
  /** Bytes of a chunk in flight; outside is rejected with INVALID_REQUEST. Hashes of smaller ones cost more than a cut; larger ones wait long. */
  transferChunkBytesMin: 64 * 1024,
  transferChunkBytesMax: 16 * 1024 * 1024,
  /** Connections of one transfer; more is rejected with INVALID_REQUEST. One core fills a link with two or three. */
  transferConnectionsMax: 8,
  /** Fragments of one transfer; more is rejected with LIMIT_REACHED. What waits costs its outcome only: ask for the rest afterwards. */
  transferFragmentsMax: 2 ** 20,
  /** How often one chunk, or what was staged of it, may be found damaged; then its fragment is given up as damaged. */
  transferDamagedMax: 8,
  /** Tenants whose inventories a node keeps; of one more, that of the tenant that asked longest ago is made anew when it is asked for. */
  transferInventoriesMax: 64,
  /** Entries of all inventories that a node keeps, some 150 bytes each; beyond, inventories leave as above, but one. */
  transferInventoryEntriesMax: 4_000_000,
  /** Bytes of the manifests that a node keeps; beyond, the longest unused leave. One of 4 GiB in chunks of 1 MiB has 128 KiB. */
  transferManifestBytesMax: 16 * 1024 * 1024,
  /** Bytes of one message about an inventory over HTTP; more is rejected with LIMIT_REACHED before it is read. */
  transferMessageBytesMax: 1024 * 1024,
  /** Bytes of an answer that is no payload: a manifest, names of entries; more ends the call with LIMIT_REACHED. */
  transferAnswerBytesMax: 16 * 1024 * 1024,
  /** Pulls that a node runs at a time, one for each tenant; another one is rejected with LIMIT_REACHED. */
  transferPullsMax: 8,
  /** Pulls that a node remembers; the oldest that have ended are forgotten. */
  transferPullsKept: 64,
  /** Bytes of one request for chunks; more is rejected with INVALID_REQUEST. Each is in memory until it is sent. */
  transferRequestBytesMax: 16 * 1024 * 1024,
  /** Bytes of payloads that a receiver stages in memory; those beyond are staged in files, or refused with LIMIT_REACHED where there are none. */
  transferStagedMemoryBytesMax: 64 * 1024 * 1024,
  /** Milliseconds for which the staged bytes of a cut transfer are kept; then the next transfer removes them. A week. */
  transferStagedAgeMsMax: 7 * 24 * 60 * 60_000,
  /** Keys of one renewal of leases; those after them wait until some before them have arrived. */
  transferLeaseKeysMax: 1024,
  /** Questions of one message about an inventory; more is rejected with INVALID_REQUEST. Answers take up to 4 kB each: a megabyte. */
  inventoryQuestionsMax: 256,
  /** Questions of one comparison of inventories; more ends it with LIMIT_REACHED. Thrice what 16 M entries that all differ take. */
  inventoryQuestionsTotalMax: 2 ** 18,
  /** Differences on one side at which a comparison of inventories ends, a few thousand later, saying so. A hundred bytes each. */
  inventoryDifferencesMax: 2 ** 20,
  /** Ids of one list of an answer; more is rejected with INVALID_REQUEST. Lists have 24, and more only of ids alike in 32 bits. */
  inventoryListMax: 4096,
  /** Entries that are asked for by their ids in one message; more is rejected with INVALID_REQUEST. A megabyte, with the longest keys. */
  inventoryEntriesAskedMax: 1024,
  /** Tokens of a prompt that is sent as a delta; more is rejected with INVALID_REQUEST. 64 MiB, and a delta of them is a few bytes. */
  tokenDeltaTokensMax: 2 ** 24,
  /** Nodes of one cluster; more are not taken in, with LIMIT_REACHED. Every node knows all others. */
  clusterMembersMax: 1024,
  /** Links that a node reports, one for each other datacentre; a report with more is rejected with INVALID_REQUEST. */
  clusterLinksMax: 64,
  /** Bytes of the fields of one message between nodes; more is rejected with INVALID_REQUEST. All members, with a kilobyte each. */
  clusterFieldsBytesMax: 2 * 1024 * 1024,
  /** Bytes of one message between nodes; more is rejected with INVALID_REQUEST. The names of a million blocks. */
  clusterMessageBytesMax: 16 * 1024 * 1024,
  /** Fragments that one message asks a node to remove; what is more goes with the next one. Their keys fit its fields. */
  clusterForgottenMax: 1024,
  /** Fragments that wait to be offered to other nodes; those beyond are left to the next sweep over all. */
  replicasWaitingMax: 262_144,
  /** Fragments of which is known what prompt they belong to, for their placement; beyond, it is begun anew. */
  replicaGroupsMax: 1_048_576,
  /** Different lists of holders that are kept once; beyond, they are begun anew. */
  replicaListsMax: 4096,
  /** Fragments of which is noted that a node refused them, or that they left; the oldest note goes. */
  replicaNotesMax: 65_536,
  /** Messages of other nodes that a node answers at a time; others wait for their turn. */
  clusterMessagesMax: 1024,
  /** Pools of connections that a node keeps, one for each other node and tenant; the one unused longest is closed. */
  clusterConnectionsMax: 512,
  /** Names of blocks of one look-up in a directory; more is rejected with INVALID_REQUEST. A prompt of 1 M tokens. */
  directoryNamesMax: 65_536,
  /** Changes of what a node holds that wait to be sent; those beyond are left to the next repair. 64 MB. */
  directoryChangesWaitingMax: 2 ** 21,
  /** Entries that one shard of a directory keeps for all nodes, and one tenant's in a Redis; more are refused, and counted. */
  directoryEntriesMax: 2 ** 24,
  /** Transfers over one link that are remembered to measure it; the oldest is forgotten. */
  linkTransfersKept: 128,
  /** Callers that wait for their share of a link; another one is refused with RATE_LIMITED. Each waits with a chunk that it has not sent. */
  fairLinkWaitersMax: 4096,
  /** Decisions, and changes of roles, that a node's scheduler remembers; the oldest is forgotten. */
  routingEventsKept: 32,
  /** Bytes of KV in one piece of a prefill for another node; more goes in several, unless one token of a layer has more. A few milliseconds of a fast link. */
  prefillPieceBytesMax: 4 * 1024 * 1024,
  /** Bytes of one frame of such a prefill; more ends it with PEER_UNAVAILABLE. A token of a layer has no 16 MB. */
  prefillFrameBytesMax: 16 * 1024 * 1024,
  /** Prefills for other nodes that a node has under way or waiting for its engine; one more is refused with COMPUTE_FULL, and computed where it came from. */
  prefillRequestsMax: 8,
  /** Milliseconds for which another node may not take what was computed for it; then its prefill ends. It holds the engine's memory meanwhile. */
  prefillStallMsMax: 30_000,
  /** Further nodes that are asked for a prefill when the first is late or fails; then it is computed here. Each computes in vain. */
  prefillHedgesMax: 1,
  /** Bytes of fragments that are put together from pieces at a time; a node that sends more out of turn is not listened to any more. */
  prefillHeldBytesMax: 1024 * 1024 * 1024,
} as const
