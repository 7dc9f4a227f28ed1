/** Ways through a prompt, one row each. */
export interface Ways {
  readonly startTokens: Float64Array
  readonly endTokens: Float64Array
  /** Index in `candidates`, or of an offer in `offers` after all of them. As long as there are ways. */
  readonly index: Int32Array
  readonly place: Int32Array
  /** Share of the place's time that its reads wait for their first bytes, whatever part of it is read. */
  readonly fixedSeconds: Float64Array
  readonly secondsPerToken: Float64Array
  /** What is computed here once it is read: leading tokens of moved KV. */
  readonly computeSeconds: Float64Array
  /** Whether it may be entered and left at any block. */
  readonly isCuttable: Uint8Array
  /** By place: what its first read waits beyond its share. */
  readonly startUpSeconds: Float64Array
}

export function emptyWays(count: number, startUpSeconds: ArrayLike<number>): Ways {
  return {
    startTokens: new Float64Array(count),
    endTokens: new Float64Array(count),
    index: new Int32Array(count),
    place: new Int32Array(count),
    fixedSeconds: new Float64Array(count),
    secondsPerToken: new Float64Array(count),
    computeSeconds: new Float64Array(count),
    isCuttable: new Uint8Array(count),
    startUpSeconds: Float64Array.from(startUpSeconds),
  }
}

/** Rows of ways, in the order of `rows`. */
export function pickWays(ways: Ways, rows: Int32Array): Ways {
  const picked = emptyWays(rows.length, ways.startUpSeconds)
  for (let row = 0; row < rows.length; row++) {
    const from = rows[row] ?? 0
    picked.startTokens[row] = ways.startTokens[from] ?? 0
    picked.endTokens[row] = ways.endTokens[from] ?? 0
    picked.index[row] = ways.index[from] ?? 0
    picked.place[row] = ways.place[from] ?? 0
    picked.fixedSeconds[row] = ways.fixedSeconds[from] ?? 0
    picked.secondsPerToken[row] = ways.secondsPerToken[from] ?? 0
    picked.computeSeconds[row] = ways.computeSeconds[from] ?? 0
    picked.isCuttable[row] = ways.isCuttable[from] ?? 0
  }
  return picked
}
