// A verifier that shares no code with Hufu: @openid4vc for the protocol, @sd-jwt and @owf/mdoc for the credentials.
import assert from 'node:assert/strict'
import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import { createServer } from 'node:http'
import { Openid4vpVerifier } from '@openid4vc/openid4vp'
import { DeviceResponse, SessionTranscript, Verifier } from '@owf/mdoc'
import { digest, ES256 } from '@sd-jwt/crypto-nodejs'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import * as jose from 'jose'
import { certify, membership } from './foreign-issuer.mjs'
import { callbacks, mdocContext, newKey } from './keys.mjs'

const query = (format) => ({
  credentials: [format === 'mso_mdoc'
    ? { id: 'member', format, meta: { doctype_value: membership }, claims: [{ path: [membership, 'member'] }] }
    : { id: 'member', format, meta: { vct_values: [membership] }, claims: [{ path: ['member'] }] }],
})

/**
 * Asks for a membership, as issued by issuer. Serves until stop() is called; shown() is what was shown, verified. With an
 * origin the request is for the Digital Credentials API, and check() verifies an answer.
 */
export async function startVerifier({ format, mode, prefix, issuer, origin }) {
  const key = await certify('shop.example', 'subjectAltName=DNS:localhost')
  const encryption = await newKey()
  const own = callbacks(key, encryption)
  const verifier = new Openid4vpVerifier({ callbacks: own })
  const server = createServer()
  await new Promise((r) => server.listen(0, '127.0.0.1', r))
  const url = `http://localhost:${server.address().port}`
  const clientId = {
    x509_san_dns: 'x509_san_dns:localhost', x509_hash: `x509_hash:${createHash('sha256').update(key.leaf).digest('base64url')}`, redirect_uri: `redirect_uri:${url}/response`,
  }[prefix]
  const payload = {
    response_type: 'vp_token', response_mode: mode, nonce: randomBytes(16).toString('base64url'), dcql_query: query(format),
    ...(clientId && { client_id: clientId }), ...(origin ? clientId && { expected_origins: [origin] } : { response_uri: `${url}/response`, state: randomBytes(16).toString('base64url') }),
    client_metadata: {
      vp_formats_supported: format === 'mso_mdoc' ? { mso_mdoc: { issuerauth_alg_values: [-7], deviceauth_alg_values: [-7] } } : { 'dc+sd-jwt': { 'sd-jwt_alg_values': ['ES256'], 'kb-jwt_alg_values': ['ES256'] } },
      ...(mode.endsWith('.jwt') && {
        jwks: { keys: [{ ...encryption.publicJwk, kid: 'answers', use: 'enc', alg: 'ECDH-ES' }] }, encrypted_response_enc_values_supported: ['A256GCM', 'A128GCM'],
      }),
    },
  }
  const made = await verifier.createOpenId4vpAuthorizationRequest({
    authorizationRequestPayload: payload,
    jar: clientId && prefix !== 'redirect_uri' ? {
      requestUri: `${url}/request`, expiresInSeconds: 120, additionalJwtPayload: { aud: 'https://self-issued.me/v2' },
      jwtSigner: { method: 'x5c', alg: 'ES256', x5c: [Buffer.from(key.leaf).toString('base64')] },
    } : undefined,
  })

  async function check(response) {
    const parsed = await verifier.parseOpenid4vpAuthorizationResponse({ authorizationResponse: response, authorizationRequestPayload: payload, origin, callbacks: own })
    assert.equal(Boolean(parsed.jarm), mode.endsWith('.jwt'))
    const token = parsed.authorizationResponsePayload.vp_token
    assert.deepEqual(Object.keys(token), ['member'])
    assert.equal(token.member.length, 1)
    if (format === 'mso_mdoc') {
      const jwkThumbprint = parsed.jarm && new Uint8Array(Buffer.from(await jose.calculateJwkThumbprint(encryption.publicJwk), 'base64url'))
      const sessionTranscript = origin
        ? await SessionTranscript.forOid4VpDcApi({ origin, nonce: payload.nonce, jwkThumbprint }, mdocContext)
        : await SessionTranscript.forOid4Vp({ clientId, responseUri: payload.response_uri, nonce: payload.nonce, jwkThumbprint }, mdocContext)
      const deviceResponse = DeviceResponse.fromEncodedForOid4Vp(token.member[0])
      await Verifier.verifyDeviceResponse({ deviceResponse, sessionTranscript, trustedCertificates: [issuer.key.ca] }, {
        ...mdocContext,
        x509: {
          ...mdocContext.x509,
          verifyCertificateChain: ({ trustedCertificates, x5chain }) => {
            assert.ok(new X509Certificate(x5chain[0]).verify(new X509Certificate(trustedCertificates[0]).publicKey), 'under the authority')
          },
        },
      })
      assert.equal(deviceResponse.documents.length, 1)
      return deviceResponse.documents[0].issuerSigned.getPrettyClaims(membership)
    }
    const instance = new SDJwtVcInstance({
      hasher: digest, hashAlg: 'sha-256', verifier: await ES256.getVerifier(issuer.key.publicJwk),
      kbVerifier: async (data, signature, claims) => (await ES256.getVerifier(claims.cnf.jwk))(data, signature),
    })
    const { payload: claims, kb } = await instance.verify(token.member[0], { keyBindingNonce: payload.nonce })
    assert.equal(kb.payload.aud, origin ? `origin:${origin}` : clientId)
    return Object.fromEntries(Object.entries(claims).filter(([k]) => ['member', 'level', 'name'].includes(k)))
  }

  let outcome
  server.on('request', async (req, res) => {
    const chunks = []
    for await (const c of req) chunks.push(c)
    if (req.url === '/request') {
      res.writeHead(200, { 'Content-Type': 'application/oauth-authz-req+jwt' }).end(made.jar.authorizationRequestJwt)
      return
    }
    try {
      const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()))
      if (form.error) {
        outcome = { declined: form.error }
        res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}')
        return
      }
      if (form.vp_token) form.vp_token = JSON.parse(form.vp_token)
      outcome = { claims: await check(form) }
      res.writeHead(200, { 'Content-Type': 'application/json' }).end('{}')
    } catch (error) {
      outcome = { error }
      res.writeHead(400, { 'Content-Type': 'application/json' }).end('{"error":"invalid_request"}')
    }
  })
  return {
    link: made.authorizationRequest, check,
    request: origin && (made.jar ? { protocol: 'openid4vp-v1-signed', data: { request: made.jar.authorizationRequestJwt } } : { protocol: 'openid4vp-v1-unsigned', data: payload }),
    declined: () => outcome?.declined,
    shown: () => { if (outcome?.error) throw outcome.error; return outcome?.claims },
    stop: () => new Promise((r) => { server.close(r); server.closeAllConnections() }),
  }
}
