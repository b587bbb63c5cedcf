// A wallet that shares no code with Hufu: @openid4vc for the protocols, @sd-jwt and @owf/mdoc for the credentials.
import assert from 'node:assert/strict'
import * as jose from 'jose'
import { clientAuthenticationAnonymous, clientAuthenticationNone, Oauth2Client } from '@openid4vc/oauth2'
import { Openid4vciClient } from '@openid4vc/openid4vci'
import { IssuerSigned } from '@owf/mdoc'
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc'
import { digest, ES256, generateSalt } from '@sd-jwt/crypto-nodejs'
import { hufu } from './hufu.mjs'
import { callbacks, checkCertificate, keyOf, mdocContext, newKey } from './keys.mjs'

export const clientId = 'wallet-of-somebody-else'
export const redirectUri = 'https://wallet.example/callback'

/** Signs in and agrees, as a person with a browser does, and returns where the browser is sent in the end. */
async function browse(url, person, passcode) {
  const jar = new Map()
  const go = async (address, options = {}) => {
    const r = await fetch(address, { redirect: 'manual', ...options, headers: { ...options.headers, Cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') } })
    for (const c of r.headers.getSetCookie()) {
      const [pair] = c.split(';')
      jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1))
    }
    return r
  }
  const fields = (html) => Object.fromEntries([...html.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)]
    .map(([, name, value]) => [name, value.replaceAll('&#43;', '+').replaceAll('&amp;', '&').replaceAll('&#34;', '"')]))
  const post = (address, form) => go(address, { method: 'POST', body: new URLSearchParams(form) })

  let page = await go(url)
  assert.equal(page.status, 200, 'the sign-in page')
  page = await post(url.split('?')[0], { ...fields(await page.text()), number: person.number, passcode })
  assert.equal(page.status, 303, 'signed in')
  const consent = new URL(page.headers.get('location'), url).href
  page = await go(consent)
  page = await post(consent.split('?')[0], { ...fields(await page.text()), decision: 'allow' })
  assert.equal(page.status, 303, 'agreed')
  return page.headers.get('location')
}

/**
 * Takes up an offer. options: grant (pre, pre with transaction code, code), dpop, batch (number of keys), configuration.
 * Returns the credentials, each with the key that it is bound to.
 */
export async function receive({ person, grant, dpop, batch, type = 'resident-id', format = 'dc+sd-jwt' }) {
  const offered = await hufu('issuer', 'offer', '--type', type, '--format', format, ...(person ? ['--person', person.number] : []),
    '--grant', grant === 'code' ? 'code' : 'pre', ...(grant === 'pre with transaction code' ? ['--tx-code'] : []))
  const dpopKey = await newKey()
  const holders = await Promise.all(Array.from({ length: batch }, newKey))
  const callbackContext = {
    ...callbacks(dpopKey, ...holders), clientAuthentication: grant === 'code' ? clientAuthenticationNone({ clientId }) : clientAuthenticationAnonymous(),
  }
  const client = new Openid4vciClient({ callbacks: callbackContext })
  const credentialOffer = await client.resolveCredentialOffer(offered.uri)
  const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer)
  let proof = dpop ? { signer: { method: 'jwk', alg: 'ES256', publicJwk: dpopKey.publicJwk } } : undefined

  let tokens
  if (grant === 'code') {
    const { passcode } = await hufu('issuer', 'passcode', '--person', person.number)
    // Not by the client's shorthand for offers, which drops the state.
    const [authorizationServerMetadata] = issuerMetadata.authorizationServers
    const asked = await new Oauth2Client({ callbacks: callbackContext }).createAuthorizationRequestUrl({
      authorizationServerMetadata, clientId, redirectUri, dpop: proof, scope: credentialOffer.credential_configuration_ids.join(' '),
      state: 'a state of the wallet', additionalRequestPayload: { issuer_state: credentialOffer.grants.authorization_code.issuer_state },
    })
    const back = await browse(asked.authorizationRequestUrl, person, passcode)
    const answer = new URL(back)
    assert.equal(answer.searchParams.get('state'), 'a state of the wallet')
    assert.equal(answer.searchParams.get('iss'), authorizationServerMetadata.issuer)
    tokens = await client.retrieveAuthorizationCodeAccessTokenFromOffer({
      credentialOffer, issuerMetadata, authorizationCode: answer.searchParams.get('code'), pkceCodeVerifier: asked.pkce?.codeVerifier, redirectUri, dpop: proof,
    })
  } else {
    tokens = await client.retrievePreAuthorizedCodeAccessTokenFromOffer({ credentialOffer, issuerMetadata, txCode: offered.tx_code, dpop: proof })
  }
  const { accessTokenResponse } = tokens
  assert.equal(accessTokenResponse.token_type, dpop ? 'DPoP' : 'Bearer')
  proof = dpop ? { ...proof, nonce: tokens.dpop?.nonce } : undefined

  const configuration = credentialOffer.credential_configuration_ids[0]
  const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata })
  const proofs = []
  for (const h of holders) {
    const { jwt } = await client.createCredentialRequestJwtProof({
      issuerMetadata, credentialConfigurationId: configuration, nonce, clientId: grant === 'code' ? clientId : undefined,
      signer: { method: 'jwk', alg: 'ES256', publicJwk: h.publicJwk },
    })
    proofs.push(jwt)
  }
  const response = await client.retrieveCredentials({
    issuerMetadata, accessToken: accessTokenResponse.access_token, credentialConfigurationId: configuration, proofs: { jwt: proofs }, dpop: proof,
  })
  const { credentials, notification_id: notificationId } = response.credentialResponse
  assert.equal(credentials.length, batch)
  if (notificationId) {
    await client.sendNotification({
      issuerMetadata, accessToken: accessTokenResponse.access_token, dpop: proof && { ...proof, nonce: response.dpop?.nonce ?? proof.nonce }, notification: { notificationId, event: 'credential_accepted' },
    })
  }
  return { client, credentialOffer, issuerMetadata, accessTokenResponse, configuration, credentials: credentials.map((c, i) => ({ encoded: c.credential, key: holders[i] })) }
}

/** The @sd-jwt instance that checks an issuer by what is on the ledger, and signs with a holder's key. */
export async function sdJwt(holder) {
  return new SDJwtVcInstance({
    hasher: digest, hashAlg: 'sha-256', saltGenerator: generateSalt,
    signAlg: 'ES256', kbSignAlg: 'ES256', kbSigner: holder ? await ES256.getSigner(holder.privateJwk) : undefined,
    verifier: async (data, signature) => {
      const header = JSON.parse(Buffer.from(data.split('.')[0], 'base64url').toString())
      const jwk = header.x5c ? (await checkCertificate(Buffer.from(header.x5c[0], 'base64'))).jwk : await keyOf(header.kid)
      return (await ES256.getVerifier(jwk))(data, signature)
    },
    kbVerifier: async (data, signature, payload) => (await ES256.getVerifier(payload.cnf.jwk))(data, signature),
  })
}

/** Verifies an SD-JWT VC and returns its claims. */
export async function verifySdJwt(encoded, key) {
  const { payload } = await (await sdJwt()).verify(encoded)
  assert.equal(await jose.calculateJwkThumbprint(payload.cnf.jwk), key.thumbprint, 'bound to the holder key')
  return payload
}

/** Verifies an mdoc and returns its elements. */
export async function verifyMdoc(encoded, key) {
  const mdoc = IssuerSigned.fromEncodedForOid4Vci(encoded)
  await mdoc.verify({ trustedCertificates: [new Uint8Array(1)] }, mdocContext) // the ledger says what is trusted: see checkCertificate
  const mso = mdoc.issuerAuth.mobileSecurityObject
  assert.equal(await jose.calculateJwkThumbprint(mso.deviceKeyInfo.deviceKey.jwk), key.thumbprint, 'bound to the holder key')
  return { mdoc, mso, elements: mdoc.getPrettyClaims(mso.docType) }
}

/** The @sd-jwt instance of an issuer. */
export async function sdJwtIssuer(key) {
  return new SDJwtVcInstance({ hasher: digest, hashAlg: 'sha-256', saltGenerator: generateSalt, signAlg: 'ES256', signer: await ES256.getSigner(key.privateJwk) })
}
