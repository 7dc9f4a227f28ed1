/** Calls once when any of the signals aborts, at once when one has. The result forgets about it. */
export function onAbort(signals: readonly AbortSignal[], call: () => void): () => void {
  const listen = (): void => {
    forget()
    call()
  }
  const forget = (): void => {
    for (const signal of signals) signal.removeEventListener('abort', listen)
  }
  for (const signal of signals) signal.addEventListener('abort', listen)
  if (signals.some(({ aborted }) => aborted)) listen()
  return forget
}
