/** Certificates for tests: an authority, and what it signs. */
import { generate } from 'selfsigned'

export interface Identity {
  readonly cert: string
  readonly key: string
}

export interface Authority extends Identity {
  /** A certificate for `localhost` and for clients, under a common name. */
  issue(commonName: string): Promise<Identity>
}

export async function createAuthority(name: string): Promise<Authority> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  const issue = async (commonName: string): Promise<Identity> => {
    const issued = await generate([{ name: 'commonName', value: commonName }], {
      keyType: 'ec',
      algorithm: 'sha256',
      ca: { key, cert },
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
      ],
    })
    return { cert: issued.cert, key: issued.private }
  }
  return { cert, key, issue }
}
