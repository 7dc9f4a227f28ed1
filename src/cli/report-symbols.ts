import { type Html, trusted } from './report-markup.ts'

/** The paper's symbols as they are printed. */
function symbol(letter: string, index: string): Html {
  return trusted(`<span class="symbol">${letter}<sub>${index}</sub></span>`)
}

export const LAMBDA_MAX = symbol('Λ', 'max')
export const N_REMOTE = symbol('N', 'prfaas')
export const N_PREFILL = symbol('N', 'p')
export const N_DECODE = symbol('N', 'd')
export const THETA_REMOTE = symbol('Θ', 'prfaas')
export const THETA_PREFILL = symbol('Θ', 'pd-p')
export const THETA_DECODE = symbol('Θ', 'pd-d')
