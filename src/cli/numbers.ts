/** Numbers as users write them, within the range that a flag takes. */
import { InvalidArgumentError } from 'commander'

/** A whole number, `min` or more. */
export function wholeNumberOf(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value
    throw new InvalidArgumentError(`Expected a whole number, ${min} or more.`)
  }
}

/** A number, `min` to `max`. */
export function numberBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && value >= min && value <= max) return value
    throw new InvalidArgumentError(`Expected a number, ${min} to ${max}.`)
  }
}
