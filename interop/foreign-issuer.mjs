// An issuer that shares no code with Hufu: @openid4vc for the protocol, @sd-jwt and @owf/mdoc for the credentials.
import { execFileSync } from 'node:child_process'
import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Oauth2AuthorizationServer, Oauth2ResourceServer, setGlobalConfig, clientAuthenticationNone } from '@openid4vc/oauth2'
import { Openid4vciIssuer, Openid4vciVersion } from '@openid4vc/openid4vci'
import { CoseKey, DeviceKey, Issuer } from '@owf/mdoc'
import { callbacks, mdocContext, newKey } from './keys.mjs'
import { sdJwtIssuer } from './wallet.mjs'

setGlobalConfig({ allowInsecureUrls: true }) // plain HTTP on loopback

/** A P-256 key with a certificate, made by OpenSSL, under an authority of its own. extensions are of openssl.cnf. */
export async function certify(name, extensions) {
  const dir = mkdtempSync(join(tmpdir(), 'hufu-cert-'))
  const run = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    const key = await newKey()
    const { createPrivateKey } = await import('node:crypto')
    writeFileSync(join(dir, 'key.pem'), createPrivateKey({ key: key.privateJwk, format: 'jwk' }).export({ format: 'pem', type: 'pkcs8' }))
    writeFileSync(join(dir, 'leaf.cnf'), `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n${extensions}\n`)
    run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ca.pem')
    run('req', '-x509', '-new', '-key', 'ca.pem', '-subj', `/C=UT/CN=${name} authority`, '-days', '30', '-sha256', '-out', 'ca.crt',
      '-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')
    run('req', '-new', '-key', 'key.pem', '-subj', `/C=UT/CN=${name}`, '-out', 'leaf.csr')
    run('x509', '-req', '-in', 'leaf.csr', '-CA', 'ca.crt', '-CAkey', 'ca.pem', '-days', '20', '-sha256', '-extfile', 'leaf.cnf', '-out', 'leaf.crt')
    const der = (f) => new Uint8Array(new X509Certificate(readFileSync(join(dir, f))).raw)
    return { ...key, leaf: der('leaf.crt'), ca: der('ca.crt') }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

export const membership = 'urn:example:membership:1'

/** Serves until stop() is called. dpop: tokens are bound to a key or not given. */
export async function startIssuer({ dpop, format, txCode, grant = 'pre' }) {
  const key = await certify('membership.example', 'extendedKeyUsage=critical,1.0.18013.5.1.2\nsubjectAltName=DNS:membership.example')
  const signer = { method: 'jwk', alg: 'ES256', publicJwk: key.publicJwk }
  const context = { ...callbacks(key), clientAuthentication: clientAuthenticationNone({ clientId: 'unused' }) }
  const server = createServer()
  await new Promise((r) => server.listen(0, '127.0.0.1', r))
  const url = `http://127.0.0.1:${server.address().port}`
  const vci = new Openid4vciIssuer({ callbacks: context })
  const oauth = new Oauth2AuthorizationServer({ callbacks: context })
  const resource = new Oauth2ResourceServer({ callbacks: context })
  const proofTypes = { jwt: { proof_signing_alg_values_supported: ['ES256'] } }
  const credentialIssuer = vci.createCredentialIssuerMetadata({
    credential_issuer: url, credential_endpoint: `${url}/credential`, nonce_endpoint: `${url}/nonce`, batch_credential_issuance: { batch_size: 10 },
    display: [{ name: 'Membership office', locale: 'en' }],
    credential_configurations_supported: {
      membership: format === 'mso_mdoc'
        ? { format, doctype: membership, scope: 'membership', cryptographic_binding_methods_supported: ['cose_key'], credential_signing_alg_values_supported: [-7], proof_types_supported: proofTypes }
        : { format, vct: membership, scope: 'membership', cryptographic_binding_methods_supported: ['jwk'], credential_signing_alg_values_supported: ['ES256'], proof_types_supported: proofTypes },
    },
  })
  const authorizationServer = oauth.createAuthorizationServerMetadata({
    issuer: url, token_endpoint: `${url}/token`, authorization_endpoint: `${url}/authorize`, pushed_authorization_request_endpoint: `${url}/par`,
    jwks_uri: `${url}/jwks`, code_challenge_methods_supported: ['S256'], dpop_signing_alg_values_supported: dpop ? ['ES256'] : undefined,
    grant_types_supported: ['authorization_code', 'urn:ietf:params:oauth:grant-type:pre-authorized_code'], response_types_supported: ['code'],
    'pre-authorized_grant_anonymous_access_supported': true, authorization_response_iss_parameter_supported: true,
  })
  const issuerMetadata = { credentialIssuer, authorizationServers: [authorizationServer], knownCredentialConfigurations: vci.getKnownCredentialConfigurationsSupported(credentialIssuer), originalDraftVersion: Openid4vciVersion.V1 }
  const state = { code: randomBytes(16).toString('hex'), nonces: new Set(), pushed: new Map(), dpopNonce: randomBytes(12).toString('hex'), issued: 0, bound: undefined, jtis: new Set() }
  const { credentialOffer } = await vci.createCredentialOffer({
    issuerMetadata, credentialConfigurationIds: ['membership'],
    grants: grant === 'code' ? { authorization_code: { issuer_state: 'the office knows' } }
      : { 'urn:ietf:params:oauth:grant-type:pre-authorized_code': { 'pre-authorized_code': state.code, tx_code: txCode && { input_mode: 'numeric', length: 4 } } },
  })

  const once = (jwt) => { // no proof of possession serves twice
    const { jti } = JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'))
    if (state.jtis.has(jti)) throw new Error('a DPoP proof twice')
    state.jtis.add(jti)
  }
  const answers = {
    'GET /.well-known/openid-credential-issuer': () => credentialIssuer,
    'GET /.well-known/oauth-authorization-server': () => authorizationServer,
    'GET /.well-known/jwt-vc-issuer': () => ({ issuer: url, jwks: { keys: [{ ...key.publicJwk, kid: 'membership', use: 'sig', alg: 'ES256' }] } }),
    'GET /jwks': () => ({ keys: [{ ...key.publicJwk, use: 'sig', alg: 'ES256' }] }),
    'POST /nonce': () => {
      const nonce = randomBytes(16).toString('hex')
      state.nonces.add(nonce)
      return { c_nonce: nonce }
    },
    'POST /par': async (_, body) => {
      const { authorizationRequest } = await oauth.parsePushedAuthorizationRequest({ authorizationRequest: Object.fromEntries(new URLSearchParams(body)), request: _ })
      if (authorizationRequest.issuer_state !== 'the office knows' || authorizationRequest.code_challenge_method !== 'S256') throw new Error('not from the offer')
      const uri = `urn:ietf:params:oauth:request_uri:${randomBytes(12).toString('hex')}`
      state.pushed.set(uri, authorizationRequest)
      return { request_uri: uri, expires_in: 60, status: 201 }
    },
    'GET /authorize': (request) => { // nobody to ask: whoever comes is a member
      const q = new URL(request.url).searchParams
      state.asked = state.pushed.get(q.get('request_uri'))
      state.pushed.delete(q.get('request_uri'))
      const to = new URL(state.asked.redirect_uri)
      for (const [k, v] of Object.entries({ code: state.code, state: state.asked.state, iss: url })) if (v) to.searchParams.set(k, v)
      return { redirect: to.href }
    },
    'POST /token': async (request, body) => {
      const parsed = oauth.parseAccessTokenRequest({ request, accessTokenRequest: Object.fromEntries(new URLSearchParams(body)) })
      if (dpop && !parsed.dpop) throw new Error('a token without DPoP')
      if (parsed.dpop) {
        once(parsed.dpop.jwt)
        const { nonce } = JSON.parse(Buffer.from(parsed.dpop.jwt.split('.')[1], 'base64url'))
        if (nonce !== state.dpopNonce) return { status: 400, headers: { 'DPoP-Nonce': state.dpopNonce }, error: 'use_dpop_nonce' }
      }
      const common = { authorizationServerMetadata: authorizationServer, request, grant: parsed.grant, accessTokenRequest: parsed.accessTokenRequest, dpop: { jwt: parsed.dpop?.jwt, required: dpop } }
      const verified = grant === 'code'
        ? await oauth.verifyAuthorizationCodeAccessTokenRequest({
          ...common, expectedCode: state.code,
          pkce: { codeVerifier: parsed.pkceCodeVerifier, codeChallenge: state.asked.code_challenge, codeChallengeMethod: state.asked.code_challenge_method },
        })
        : await oauth.verifyPreAuthorizedCodeAccessTokenRequest({ ...common, expectedPreAuthorizedCode: state.code, expectedTxCode: txCode })
      state.code = undefined
      return oauth.createAccessTokenResponse({
        audience: url, authorizationServer: url, expiresInSeconds: 300, signer, subject: 'a member', scope: 'membership',
        dpop: dpop ? { jwk: verified.dpop.jwk } : undefined,
      })
    },
    'POST /credential': async (request, body) => {
      const { scheme, tokenPayload } = await resource.verifyResourceRequest({ authorizationServers: [authorizationServer], request, resourceServer: url })
      if (scheme !== (dpop ? 'DPoP' : 'Bearer') || tokenPayload.sub !== 'a member') throw new Error('not our token')
      if (dpop) once(request.headers.get('dpop'))
      const parsed = vci.parseCredentialRequest({ issuerMetadata, credentialRequest: JSON.parse(body) })
      const credentials = []
      const seen = new Set()
      let nonce
      for (const jwt of parsed.proofs.jwt) {
        nonce ??= JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url')).nonce
        if (!state.nonces.has(nonce)) throw new Error('not our nonce')
        const proof = await vci.verifyCredentialRequestJwtProof({ issuerMetadata, jwt, expectedNonce: nonce })
        const holder = proof.header.jwk
        if (seen.has(holder.x)) throw new Error('one key twice')
        seen.add(holder.x)
        credentials.push({ credential: format === 'mso_mdoc' ? await mdoc(key, holder) : await sdjwt(url, key, holder) })
      }
      state.nonces.delete(nonce)
      state.issued += credentials.length
      return vci.createCredentialResponse({ credentialRequest: parsed, credentials })
    },
  }
  const failures = []
  server.on('request', async (req, res) => {
    const chunks = []
    for await (const c of req) chunks.push(c)
    const request = { method: req.method, url: url + req.url, headers: new Headers(req.headers) }
    let out
    try {
      const handler = answers[`${req.method} ${req.url.split('?')[0]}`]
      out = handler ? await handler(request, Buffer.concat(chunks).toString()) : { status: 404, error: 'not found' }
    } catch (e) {
      failures.push(e)
      out = { status: 400, error: 'invalid_request', error_description: e.message }
    }
    const { status = out.redirect ? 303 : 200, headers, redirect, ...content } = out
    res.writeHead(status, { ...headers, ...(dpop && { 'DPoP-Nonce': state.dpopNonce }), ...(redirect ? { Location: redirect } : { 'Content-Type': 'application/json' }), 'Cache-Control': 'no-store' })
    res.end(redirect ? undefined : JSON.stringify(content))
  })
  return { url, offer: credentialOffer, key, state, failures, stop: () => new Promise((r) => { server.close(r); server.closeAllConnections() }) }
}

async function sdjwt(url, key, holder) {
  const now = Math.floor(Date.now() / 1000)
  return (await sdJwtIssuer(key)).issue(
    { iss: url, vct: membership, iat: now, exp: now + 86400, cnf: { jwk: holder }, member: true, level: 'gold', name: 'A Member' },
    { _sd: ['member', 'level', 'name'] }, { header: { kid: 'membership', typ: 'dc+sd-jwt' } })
}

async function mdoc(key, holder) {
  const from = new Date(Math.floor(Date.now() / 1000) * 1000)
  const signed = await new Issuer(membership, mdocContext)
    .addIssuerNamespace(membership, { member: true, level: 'gold', name: 'A Member' })
    .sign({
      signingKey: CoseKey.fromJwk({ ...key.privateJwk, alg: 'ES256' }), algorithm: -7, digestAlgorithm: 'SHA-256', certificates: [key.leaf],
      validityInfo: { signed: from, validFrom: from, validUntil: new Date(from.getTime() + 86400_000) },
      deviceKeyInfo: { deviceKey: DeviceKey.fromJwk({ ...holder, alg: undefined }) },
    })
  return signed.encodedForOid4Vci
}
