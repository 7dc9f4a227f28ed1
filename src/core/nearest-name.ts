/** What a mistyped name was meant to be. */

/** Steps from one name to another that count as a slip of the fingers; more is another name. */
const STEPS_MAX = 3
/** Longer names are not compared: the time grows with the square. */
const NAME_CHARACTERS_MAX = 64

/**
 * The known name that takes the fewest steps (a character added, left out, replaced, or swapped with its neighbour) to
 * reach, upper case or not; the first of equals. Null when the nearest is more than 3 steps away, or more than half of it
 * would have to change.
 */
export function nearestName(name: string, known: readonly string[]): string | null {
  if (name.length > NAME_CHARACTERS_MAX) return null
  let nearest: string | null = null
  let fewest = STEPS_MAX + 1
  for (const candidate of known) {
    const steps = stepsBetween(name.toLowerCase(), candidate.toLowerCase())
    if (steps >= fewest || steps * 2 > candidate.length) continue
    nearest = candidate
    fewest = steps
  }
  return nearest
}

/** Optimal string alignment distance, three rows at a time. */
function stepsBetween(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1]
      const isSwapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + (isSame ? 0 : 1),
          isSwapped ? at(beforeLast, column - 2) + 1 : Infinity,
        ),
      )
    }
    beforeLast = last
    last = current
  }
  return at(last, to.length)
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Infinity
}
