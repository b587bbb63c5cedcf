// Answers a verifier's request as a wallet that shares no code with Hufu does.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Openid4vpClient } from '@openid4vc/openid4vp'
import { CoseKey, DeviceRequest, DocRequest, Holder, IssuerSigned, ItemsRequest, SessionTranscript } from '@owf/mdoc'
import * as jose from 'jose'
import { callbacks, mdocContext } from './keys.mjs'
import { sdJwt } from './wallet.mjs'

const keyThumbprint = async (jwk) => new Uint8Array(Buffer.from(await jose.calculateJwkThumbprint(jwk), 'base64url'))

/** What a request is bound to, apart from its nonce. */
async function binding(payload, origin, encryption) {
  const jwkThumbprint = encryption && await keyThumbprint(encryption)
  if (origin) {
    return { audience: `origin:${origin}`, transcript: () => SessionTranscript.forOid4VpDcApi({ origin, nonce: payload.nonce, jwkThumbprint }, mdocContext) }
  }
  return {
    audience: payload.client_id,
    transcript: () => SessionTranscript.forOid4Vp({ clientId: payload.client_id, responseUri: payload.response_uri, nonce: payload.nonce, jwkThumbprint }, mdocContext),
  }
}

async function presentSdJwt(query, { encoded, key }, { audience }, nonce, transactionData) {
  const frame = {}
  for (const { path } of query.claims) {
    path.reduce((at, step, i) => { at[step] ??= i === path.length - 1 ? true : {}; return at[step] }, frame)
  }
  const hashes = transactionData && { transaction_data_hashes: await Promise.all(transactionData.map(async (t) =>
    Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(t))).toString('base64url'))), transaction_data_hashes_alg: 'sha-256' }
  return (await sdJwt(key)).present(encoded, frame, { kb: { payload: { iat: Math.floor(Date.now() / 1000), aud: audience, nonce, ...hashes } } })
}

async function presentMdoc(query, { encoded, key }, { transcript }) {
  const namespaces = {}
  for (const { path: [namespace, element] } of query.claims) (namespaces[namespace] ??= {})[element] = false
  const response = await Holder.createDeviceResponseForDeviceRequest({
    deviceRequest: DeviceRequest.create({ docRequests: [DocRequest.create({ itemsRequest: ItemsRequest.create({ docType: query.meta.doctype_value, namespaces }) })] }),
    sessionTranscript: await transcript(), issuerSigned: [IssuerSigned.fromEncodedForOid4Vci(encoded)],
    signature: { signingKey: CoseKey.fromJwk({ ...key.privateJwk, alg: 'ES256' }) },
  }, mdocContext)
  return response.encodedForOid4Vp
}

/**
 * Answers a request, a link or the data of the Digital Credentials API, with a credential. enc is the content encryption
 * that the wallet has; change is called with what is about to be sent. Returns the request, and the verifier's answer or,
 * with an origin, what the page gets.
 */
export async function present(request, credential, { origin, enc = 'A128GCM', change, wallet } = {}) {
  const client = new Openid4vpClient({ callbacks: callbacks(credential.key) })
  const parsed = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: request })
  const resolved = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: parsed.params, origin, wallet })
  const payload = resolved.authorizationRequestPayload
  const encrypted = payload.response_mode.endsWith('.jwt')
  const encryption = encrypted ? payload.client_metadata.jwks.keys.find((k) => k.use === 'enc' || k.alg === 'ECDH-ES') : undefined
  const bound = await binding(payload, origin, encryption)
  const query = payload.dcql_query.credentials[0]
  let presentation
  if (query.format === 'mso_mdoc') presentation = await presentMdoc(query, credential, bound)
  else presentation = await presentSdJwt(query, credential, bound, payload.nonce, payload.transaction_data)
  let vpToken = { [query.id]: [presentation] }
  if (change) vpToken = change(vpToken)
  const response = await client.createOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: payload, origin, authorizationResponsePayload: { vp_token: vpToken },
    jarm: encrypted ? {
      encryption: { nonce: randomBytes(16).toString('base64url'), jwk: encryption },
      serverMetadata: {
        authorization_signing_alg_values_supported: ['ES256'], authorization_encryption_alg_values_supported: ['ECDH-ES'], authorization_encryption_enc_values_supported: [enc],
      },
    } : undefined,
  })
  assert.equal(Boolean(response.jarm), encrypted)
  if (origin) return { resolved, answer: encrypted ? { response: response.jarm.responseJwt } : response.authorizationResponsePayload }
  const { response: answer } = await client.submitOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: payload, authorizationResponsePayload: response.authorizationResponsePayload, jarm: response.jarm,
  })
  return { resolved, status: answer.status, answer: await answer.json() }
}
