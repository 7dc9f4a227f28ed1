/** A secret on the command line is seen by everybody on the machine: who tries is told where it goes, and it is not said again. */

const SECRET_OPTION = /unknown option '(--(?:token|password|api-key))(?:=[^]*)?'(?:\n\(Did you mean .*\))?/

/** A message of commander; one about an option that would carry a secret says where secrets are read from. */
export function withSecretHint(message: string): string {
  return message.replace(SECRET_OPTION, (_, option: string) => {
    const place =
      option === '--api-key'
        ? 'Give a key in MEMBRANE_LLM_API_KEY, or name its file with --llm-key-file.'
        : "Give a token in MEMBRANE_TOKEN, or name its file with --token-file; a server's are in the file of --credentials."
    return `unknown option '${option}': a secret here is seen by everybody on this machine. ${place}`
  })
}
