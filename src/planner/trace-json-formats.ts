/** The two JSON Lines formats: Mooncake's and our own. */
import { RequestColumns, type RequestRow, type TraceBounds } from './trace-columns.ts'
import { checkNoOtherFields, checkPresent, jsonField, parseJsonRow } from './trace-json.ts'
import {
  checkedNumber,
  checkedTokens,
  invalidField,
  invalidTrace,
  type TraceField,
  type TraceLine,
} from './trace-line.ts'
import { type RequestTraceFormat, TRACE_BLOCK_TOKENS_DEFAULT, type TraceFile } from './trace.ts'

/** How a format calls its fields, and what it demands of them. */
interface JsonFormat {
  readonly format: RequestTraceFormat
  readonly at: TraceField
  readonly input: TraceField
  readonly output: TraceField
  readonly blocks: TraceField
  readonly timeUnit: 'milliseconds' | 'seconds'
  readonly unitsPerSecond: number
  /** Fields that must be in every row; the others may be absent, but then from all rows. */
  readonly required: readonly ('at' | 'input' | 'output')[]
  /** Our own format has no other fields, so that a misspelt optional one is noticed. Others may carry what they like. */
  readonly isClosed: boolean
  /** Mooncake counts a partly filled last block; our own traces may name fewer blocks than the prompt has. */
  readonly namesEveryBlock: boolean
}

const MOONCAKE: JsonFormat = {
  format: 'mooncake',
  at: jsonField('timestamp'),
  input: jsonField('input_length'),
  output: jsonField('output_length'),
  blocks: jsonField('hash_ids'),
  timeUnit: 'milliseconds',
  unitsPerSecond: 1000,
  required: ['at', 'input', 'output'],
  isClosed: false,
  namesEveryBlock: true,
}

const MEMBRANE: JsonFormat = {
  format: 'membrane',
  at: jsonField('atSeconds'),
  input: jsonField('inputTokens'),
  output: jsonField('outputTokens'),
  blocks: jsonField('blockIds'),
  timeUnit: 'seconds',
  unitsPerSecond: 1,
  required: ['input'],
  isClosed: true,
  namesEveryBlock: false,
}

const BLOCK_ID_MAX = 2 ** 31 - 1
const MEMBRANE_HEADER = jsonField('membraneTrace')
const MEMBRANE_BLOCK_TOKENS = jsonField('blockTokens')

export function createMooncakeParser(firstLine: TraceLine, bounds: TraceBounds): JsonRequestParser {
  const parser = new JsonRequestParser(MOONCAKE, TRACE_BLOCK_TOKENS_DEFAULT, bounds)
  parser.parse(firstLine)
  return parser
}

/** The first line may be a header such as `{"membraneTrace": 1, "blockTokens": 16}`. */
export function createMembraneParser(firstLine: TraceLine, bounds: TraceBounds): JsonRequestParser {
  const first = parseJsonRow(firstLine)
  if (!Object.hasOwn(first, MEMBRANE_HEADER.name)) {
    const parser = new JsonRequestParser(MEMBRANE, TRACE_BLOCK_TOKENS_DEFAULT, bounds)
    parser.parse(firstLine)
    return parser
  }
  checkNoOtherFields(first, [MEMBRANE_HEADER, MEMBRANE_BLOCK_TOKENS], firstLine)
  if (first[MEMBRANE_HEADER.name] !== 1) throw invalidField(firstLine, MEMBRANE_HEADER, 'version 1')
  const blockTokens = Object.hasOwn(first, MEMBRANE_BLOCK_TOKENS.name)
    ? checkedTokens(first[MEMBRANE_BLOCK_TOKENS.name], 1, firstLine, MEMBRANE_BLOCK_TOKENS)
    : TRACE_BLOCK_TOKENS_DEFAULT
  return new JsonRequestParser(MEMBRANE, blockTokens, bounds)
}

class JsonRequestParser {
  readonly #format: JsonFormat
  readonly #blockTokens: number
  readonly #columns: RequestColumns
  #firstAt: number | null = null
  #first: { readonly row: RequestRow; readonly lineNumber: number } | null = null

  constructor(format: JsonFormat, blockTokens: number, bounds: TraceBounds) {
    this.#format = format
    this.#blockTokens = blockTokens
    this.#columns = new RequestColumns(bounds)
  }

  get rowCount(): number {
    return this.#columns.count
  }

  parse(line: TraceLine): void {
    const { at, input, output, blocks, required, isClosed } = this.#format
    const json = parseJsonRow(line)
    for (const role of required) checkPresent(json, this.#format[role], line)
    if (isClosed) checkNoOtherFields(json, [at, input, output, blocks], line)
    const inputTokens = checkedTokens(json[input.name], 1, line, input)
    const row: RequestRow = {
      atSeconds: json[at.name] === undefined ? null : this.#secondsSinceFirst(json[at.name], line),
      inputTokens,
      outputTokens: json[output.name] === undefined ? null : checkedTokens(json[output.name], 0, line, output),
      blockIds: json[blocks.name] === undefined ? null : this.#checkedBlockIds(json[blocks.name], inputTokens, line),
    }
    this.#checkSameFields(row, line)
    this.#columns.add(row, line, at)
  }

  finish(name: string): TraceFile {
    return { kind: 'requests', trace: this.#columns.finish(name, this.#format.format, this.#blockTokens) }
  }

  #secondsSinceFirst(value: unknown, line: TraceLine): number {
    const at = checkedNumber(value, this.#format.timeUnit, line, this.#format.at)
    this.#firstAt ??= at
    return (at - this.#firstAt) / this.#format.unitsPerSecond
  }

  #checkedBlockIds(value: unknown, inputTokens: number, line: TraceLine): readonly number[] {
    const { blocks, namesEveryBlock } = this.#format
    if (!isBlockIds(value)) throw invalidField(line, blocks, `a list of whole numbers from 0 to ${BLOCK_ID_MAX}`)
    const blocksMax = Math.ceil(inputTokens / this.#blockTokens)
    if (value.length === blocksMax || (value.length < blocksMax && !namesEveryBlock)) return value
    throw invalidTrace(line, {
      column: blocks.locate(line).column,
      found: `${value.length} ${blocks.name}`,
      expected:
        `${namesEveryBlock ? '' : 'at most '}${blocksMax}: ` +
        `one for each started block of ${this.#blockTokens} of the ${inputTokens} input tokens`,
    })
  }

  /** What the first row has, all have: a column with holes would silently bias every statistic. */
  #checkSameFields(row: RequestRow, line: TraceLine): void {
    if (this.#first === null) {
      this.#first = { row, lineNumber: line.number }
      return
    }
    const { row: firstRow, lineNumber } = this.#first
    const { at, output, blocks } = this.#format
    checkSameField(firstRow.atSeconds, row.atSeconds, at, line, lineNumber)
    checkSameField(firstRow.outputTokens, row.outputTokens, output, line, lineNumber)
    checkSameField(firstRow.blockIds, row.blockIds, blocks, line, lineNumber)
  }
}

/** A plain loop: it runs over every id of the file. `id | 0` is `id` for whole numbers of 32 bits alone. */
function isBlockIds(value: unknown): value is readonly number[] {
  if (!Array.isArray(value)) return false
  for (let index = 0; index < value.length; index++) {
    const id: unknown = value[index]
    if (typeof id !== 'number' || (id | 0) !== id || id < 0) return false
  }
  return true
}

function checkSameField(
  first: unknown,
  here: unknown,
  field: TraceField,
  line: TraceLine,
  firstLineNumber: number,
): void {
  if ((first === null) === (here === null)) return
  const [found, expected] = first === null ? ['', 'no '] : ['no ', '']
  throw invalidTrace(line, {
    column: field.locate(line).column,
    found: `${found}field "${field.name}"`,
    expected: `${expected}field "${field.name}", as in line ${firstLineNumber}`,
    remedy: 'Give the field in every row, or in none.',
  })
}
