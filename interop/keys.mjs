// Keys and the callbacks that the protocol libraries leave to their users: on jose and Node's own cryptography.
import * as jose from 'jose'
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify, X509Certificate } from 'node:crypto'
import { CoseKey } from '@owf/mdoc'
import { resolveDid } from './hufu.mjs'

/** A new P-256 key pair as JWKs. */
export async function newKey() {
  const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true })
  const [publicJwk, privateJwk] = [await jose.exportJWK(publicKey), await jose.exportJWK(privateKey)]
  return { publicJwk, privateJwk, thumbprint: await jose.calculateJwkThumbprint(publicJwk) }
}

const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

function decodeBase58(text) {
  let n = 0n
  for (const c of text) n = n * 58n + BigInt(base58.indexOf(c))
  const hex = n.toString(16)
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
}

// SubjectPublicKeyInfo of a compressed P-256 point, without the point.
const p256 = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex')

/** The P-256 key of a Multikey (multicodec 0x1200) as a JWK. */
export function multikeyToJwk(multikey) {
  const raw = decodeBase58(multikey.slice(1))
  if (multikey[0] !== 'z' || raw[0] !== 0x80 || raw[1] !== 0x24) throw new Error('not a P-256 Multikey')
  return createPublicKey({ key: Buffer.concat([p256, raw.subarray(2)]), format: 'der', type: 'spki' }).export({ format: 'jwk' })
}

/** The key that a DID URL names, if it is for the purpose. */
export async function keyOf(didUrl, purpose = 'assertionMethod') {
  const doc = await resolveDid(didUrl.split('#')[0])
  const method = doc.verificationMethod.find((m) => m.id === didUrl)
  if (!method || !doc[purpose].includes(didUrl)) throw new Error(`${didUrl} is not for ${purpose}`)
  return multikeyToJwk(method.publicKeyMultibase)
}

/**
 * Checks that a certificate names a DID and was signed by a P-256 key that the DID has on the ledger, which is what a
 * certification authority is here, and returns the certificate's key.
 */
export async function checkCertificate(der) {
  const cert = new X509Certificate(der)
  const did = /URI:(did:hufu:[^,]+)/.exec(cert.subjectAltName ?? '')?.[1]
  if (!did) throw new Error('the certificate names no identifier')
  const now = Date.now()
  if (now < Date.parse(cert.validFrom) || now > Date.parse(cert.validTo)) throw new Error('the certificate is not valid now')
  const doc = await resolveDid(did)
  const signed = doc.verificationMethod.some((m) => {
    if (!doc.assertionMethod.includes(m.id)) return false
    try {
      return cert.verify(createPublicKey({ key: multikeyToJwk(m.publicKeyMultibase), format: 'jwk' }))
    } catch {
      return false // a key of another kind
    }
  })
  if (!signed) throw new Error('no authority of the identifier signed the certificate')
  return { did, jwk: cert.publicKey.export({ format: 'jwk' }) }
}

const names = { 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512' }
export const hash = (data, alg = 'sha-256') => createHash(names[alg.toLowerCase()] ?? alg).update(data).digest()

/** The callbacks of @openid4vc/* for whoever holds the keys given. */
export function callbacks(...keys) {
  const privateOf = async (jwk) => {
    const t = await jose.calculateJwkThumbprint(jwk)
    const k = keys.find((x) => x.thumbprint === t)
    if (!k) throw new Error('signing with a key that is not ours')
    return k.privateJwk
  }
  return {
    fetch,
    hash,
    generateRandom: (n) => randomBytes(n),
    signJwt: async (signer, { header, payload }) => {
      const jwk = signer.method === 'jwk' ? signer.publicJwk : keys[0].publicJwk
      const key = await jose.importJWK(await privateOf(jwk), signer.alg)
      return { jwt: await new jose.SignJWT(payload).setProtectedHeader(header).sign(key), signerJwk: jwk }
    },
    verifyJwt: async (signer, { compact, header }) => {
      let jwk = signer.publicJwk
      if (signer.method === 'did') jwk = await keyOf(signer.didUrl, 'authentication')
      if (signer.method === 'x5c') ({ jwk } = await checkCertificate(Buffer.from(signer.x5c[0], 'base64')))
      try {
        await jose.compactVerify(compact, await jose.importJWK(jwk, header.alg))
        return { verified: true, signerJwk: jwk }
      } catch {
        return { verified: false }
      }
    },
    encryptJwe: async (encryptor, text) => {
      const key = await jose.importJWK(encryptor.publicJwk, encryptor.alg)
      const header = { alg: encryptor.alg, enc: encryptor.enc, kid: encryptor.publicJwk.kid, apu: encryptor.apu, apv: encryptor.apv }
      const jwe = new jose.CompactEncrypt(Buffer.from(text)).setProtectedHeader(Object.fromEntries(Object.entries(header).filter(([, v]) => v !== undefined)))
      return { jwe: await jwe.encrypt(key), encryptionJwk: encryptor.publicJwk }
    },
    decryptJwe: async (jwe, options) => {
      for (const k of keys) {
        try {
          const { plaintext } = await jose.compactDecrypt(jwe, await jose.importJWK(k.privateJwk, 'ECDH-ES'))
          return { decrypted: true, payload: Buffer.from(plaintext).toString(), decryptionJwk: k.publicJwk }
        } catch { /* not under this key */ }
      }
      return { decrypted: false, encryptionJwk: options?.jwk }
    },
    getX509CertificateMetadata: (der) => {
      const san = new X509Certificate(Buffer.from(der, 'base64')).subjectAltName ?? ''
      return {
        sanDnsNames: [...san.matchAll(/DNS:([^,]+)/g)].map((m) => m[1]),
        sanUriNames: [...san.matchAll(/URI:([^,]+)/g)].map((m) => m[1]),
      }
    },
  }
}

const coseToKey = (key, options = {}) => createPublicKey({ key: { ...key.jwk, d: undefined, ...options }, format: 'jwk' })

/** The context of @owf/mdoc. */
export const mdocContext = {
  crypto: {
    random: (n) => new Uint8Array(randomBytes(n)),
    digest: ({ digestAlgorithm, bytes }) => new Uint8Array(hash(bytes, digestAlgorithm)),
    calculateEphemeralMacKey: () => { throw new Error('device authentication is by signature') },
  },
  cose: {
    sign1: {
      sign: ({ toBeSigned, key }) => new Uint8Array(sign('sha256', toBeSigned, { key: createPrivateKey({ key: key.jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' })),
      verify: ({ key, sign1 }) => verify('sha256', sign1.toBeSigned, { key: coseToKey(key), dsaEncoding: 'ieee-p1363' }, sign1.signature),
    },
    mac0: {
      sign: () => { throw new Error('device authentication is by signature') },
      verify: () => false,
    },
  },
  x509: {
    getIssuerNameField: ({ certificate, field }) =>
      new X509Certificate(certificate).issuer.split('\n').filter((l) => l.startsWith(`${field}=`)).map((l) => l.slice(field.length + 1)),
    getPublicKey: ({ certificate }) => CoseKey.fromJwk(new X509Certificate(certificate).publicKey.export({ format: 'jwk' })),
    verifyCertificateChain: async ({ x5chain }) => { await checkCertificate(x5chain[0]) },
    getCertificateData: ({ certificate }) => {
      const c = new X509Certificate(certificate)
      return {
        issuerName: c.issuer, subjectName: c.subject, serialNumber: c.serialNumber, thumbprint: c.fingerprint256,
        notBefore: new Date(c.validFrom), notAfter: new Date(c.validTo), pem: c.toString(),
      }
    },
  },
}

