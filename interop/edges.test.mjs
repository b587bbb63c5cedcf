// What issuance and presentation have beside the main road, with somebody else's wallet.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientAuthenticationAnonymous, Oauth2Client, resourceRequest } from '@openid4vc/oauth2'
import { Openid4vciClient } from '@openid4vc/openid4vci'
import * as jose from 'jose'
import { adult, hufu, network } from './hufu.mjs'
import { callbacks, newKey } from './keys.mjs'
import { present } from './present.mjs'
import { receive, verifySdJwt } from './wallet.mjs'

/** An offer with a client that can take it up step by step. */
async function invited(...flags) {
  const offered = await hufu('issuer', 'offer', '--person', adult.number, '--type', 'pid', ...flags)
  const [dpopKey, holder] = [await newKey(), await newKey()]
  const context = { ...callbacks(dpopKey, holder), clientAuthentication: clientAuthenticationAnonymous() }
  const client = new Openid4vciClient({ callbacks: context })
  const credentialOffer = await client.resolveCredentialOffer(offered.uri_by_value)
  const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer)
  const dpop = { signer: { method: 'jwk', alg: 'ES256', publicJwk: dpopKey.publicJwk } }
  return {
    offered, client, credentialOffer, issuerMetadata, dpop, holder, callbacks: context,
    token: (more) => client.retrievePreAuthorizedCodeAccessTokenFromOffer({ credentialOffer, issuerMetadata, txCode: offered.tx_code, dpop, ...more }),
    async proof(nonce) {
      nonce ??= (await client.requestNonce({ issuerMetadata })).c_nonce
      const { jwt } = await client.createCredentialRequestJwtProof({
        issuerMetadata, credentialConfigurationId: credentialOffer.credential_configuration_ids[0], nonce, signer: { method: 'jwk', alg: 'ES256', publicJwk: holder.publicJwk },
      })
      return jwt
    },
    async credential(tokens, { nonce, proof = dpop } = {}) {
      return client.retrieveCredentials({
        issuerMetadata, accessToken: tokens.accessTokenResponse.access_token, credentialConfigurationId: credentialOffer.credential_configuration_ids[0],
        proofs: { jwt: [await this.proof(nonce)] }, dpop: { ...proof, nonce: tokens.dpop?.nonce },
      })
    },
  }
}

const code = (error) => error?.errorResponse?.error ?? error?.response?.credentialErrorResponse?.error ?? error?.response?.credentialErrorResponseResult?.data?.error ?? String(error)

test('a credential that waits for the agency comes when it is released', async () => {
  const i = await invited('--hold')
  const tokens = await i.token()
  const first = await i.credential(tokens)
  const { transaction_id: transactionId } = first.credentialResponse
  assert.ok(transactionId)
  await hufu('issuer', 'release', i.offered.id)
  // Not by the client's own call, whose check of notification_id is the wrong way round.
  const { ok, response } = await resourceRequest({
    url: i.issuerMetadata.credentialIssuer.deferred_credential_endpoint, accessToken: tokens.accessTokenResponse.access_token,
    dpop: { ...i.dpop, nonce: tokens.dpop?.nonce }, callbacks: i.callbacks,
    requestOptions: { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ transaction_id: transactionId }) },
  })
  assert.ok(ok)
  await verifySdJwt((await response.json()).credentials[0].credential, i.holder)
})

test('a wallet comes back with its refresh token for more copies', async () => {
  const i = await invited()
  const tokens = await i.token()
  await i.credential(tokens)
  const refresh = tokens.accessTokenResponse.refresh_token
  assert.ok(refresh)
  const oauth = new Oauth2Client({ callbacks: i.callbacks })
  const again = await oauth.retrieveRefreshTokenAccessToken({ authorizationServerMetadata: i.issuerMetadata.authorizationServers[0], refreshToken: refresh, dpop: { ...i.dpop, nonce: tokens.dpop?.nonce } })
  assert.ok(again.accessTokenResponse.access_token)
  assert.notEqual(again.accessTokenResponse.access_token, tokens.accessTokenResponse.access_token)
})

// Not by the client's own call, which knows the encryption of drafts.
for (const enc of ['A128GCM', 'A256GCM']) {
  test(`request and response are encrypted, ${enc}`, async () => {
    const i = await invited()
    const tokens = await i.token()
    const { credential_endpoint: url, credential_request_encryption: { jwks } } = i.issuerMetadata.credentialIssuer
    const mine = await newKey()
    const body = JSON.stringify({
      credential_configuration_id: i.credentialOffer.credential_configuration_ids[0], proofs: { jwt: [await i.proof()] },
      credential_response_encryption: { jwk: { ...mine.publicJwk, kid: 'mine', alg: 'ECDH-ES', use: 'enc' }, enc },
    })
    const encrypted = await new jose.CompactEncrypt(Buffer.from(body)).setProtectedHeader({ alg: 'ECDH-ES', enc, kid: jwks.keys[0].kid })
      .encrypt(await jose.importJWK(jwks.keys[0], 'ECDH-ES'))
    const { ok, response } = await resourceRequest({
      url, accessToken: tokens.accessTokenResponse.access_token, dpop: { ...i.dpop, nonce: tokens.dpop?.nonce }, callbacks: i.callbacks,
      requestOptions: { method: 'POST', headers: { 'Content-Type': 'application/jwt' }, body: encrypted },
    })
    const text = await response.text()
    assert.ok(ok, text)
    assert.equal(response.headers.get('content-type'), 'application/jwt')
    const { plaintext, protectedHeader } = await jose.compactDecrypt(text, await jose.importJWK(mine.privateJwk, 'ECDH-ES'))
    assert.equal(protectedHeader.enc, enc)
    await verifySdJwt(JSON.parse(Buffer.from(plaintext)).credentials[0].credential, i.holder)
  })
}

for (const [name, attempt, want] of [
  ['an offer taken twice', async () => { const i = await invited(); await i.token(); return i.token() }, 'invalid_grant'],
  ['a wrong transaction code', async () => (await invited('--tx-code')).token({ txCode: '000000' }), 'invalid_grant'],
  ['a nonce used twice', async () => {
    const i = await invited()
    const tokens = await i.token()
    const { c_nonce: nonce } = await i.client.requestNonce({ issuerMetadata: i.issuerMetadata })
    await i.credential(tokens, { nonce })
    return i.credential(tokens, { nonce })
  }, 'invalid_nonce'],
  ['a nonce of the wallet\'s own', async () => { const i = await invited(); return i.credential(await i.token(), { nonce: 'mine' }) }, 'invalid_nonce'],
  ['a token with another key than it is bound to', async () => {
    const i = await invited()
    return i.credential(await i.token(), { proof: { signer: { method: 'jwk', alg: 'ES256', publicJwk: i.holder.publicJwk } } })
  }, 'invalid_token'],
]) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(attempt, (e) => {
      const text = `${code(e)} ${JSON.stringify(e?.response ?? {})} ${e?.wwwAuthenticateHeaders?.map((h) => JSON.stringify(h)).join(' ') ?? ''}`
      assert.ok(text.includes(want), text)
      return true
    })
  })
}

for (const [name, change] of [
  ['another query answered', (t) => ({ stranger: t.person })],
  ['one credential too many', (t) => ({ ...t, stranger: t.person })],
  ['an altered presentation', (t) => ({ person: [t.person[0].replace(/.....$/, (c) => (c === 'AAAAA' ? 'BBBBB' : 'AAAAA'))] })],
]) {
  test(`refused: ${name}`, async () => {
    const { credentials: [copy] } = await receive({ person: adult, grant: 'pre', dpop: false, batch: 1 })
    const opened = await hufu('gate', 'request', '--contract', 'reading-room', '--response-mode', 'direct_post')
    await present(opened.uri, copy, { change })
    const result = await hufu('gate', 'result', opened.state)
    assert.equal(result.status, 'answered')
    assert.equal(result.decision, 'deny')
  })
}

test('a person consents to a transaction', async () => {
  const { credentials: [copy] } = await receive({ person: adult, grant: 'pre', dpop: true, batch: 1 })
  const opened = await hufu('gate', 'request', '--contract', 'reading-room', '--transaction-data',
    JSON.stringify({ type: 'urn:example:loan', credential_ids: ['person'], book: 'The Art of War' }))
  const { status } = await present(opened.uri, copy)
  assert.equal(status, 200)
  const result = await hufu('gate', 'result', opened.state)
  assert.equal(result.decision, 'allow', `${result.rule} ${result.reason}`)
})

test('the person\'s browser comes back with a code, and the service gets what was shown, once', async () => {
  const { credentials: [copy] } = await receive({ person: adult, grant: 'pre', dpop: true, batch: 1 })
  const { token } = await hufu('gate', 'token', '--as', 'library')
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  const api = `${network.url}/api/v1/gates/library/sessions`
  const opened = await (await fetch(api, {
    method: 'POST', headers, body: JSON.stringify({ contract: 'reading-room', return_uri: 'https://library.example/welcome', claims: true }),
  })).json()
  const { answer } = await present(opened.uri, copy)
  const back = new URL(answer.redirect_uri)
  assert.equal(back.origin + back.pathname, 'https://library.example/welcome')
  const result = (code) => fetch(`${api}/${opened.id}?response_code=${code}`, { headers })
  assert.equal((await result('guess')).status, 403)
  const first = await (await result(back.searchParams.get('response_code'))).json()
  assert.deepEqual(first.claims.person.claims, { age_equal_or_over: { 18: true } })
  const second = await (await result(back.searchParams.get('response_code'))).json()
  assert.equal(second.decision, 'allow')
  assert.equal(second.claims, undefined)
})

