// Somebody else's libraries read Hufu's status lists, in both forms, and see a revocation.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { cborDecode, CoseKey, Sign1 } from '@owf/mdoc'
import { getListFromStatusListJWT, StatusList } from '@owf/token-status-list'
import { getListFromStatusListJWT as getListOfSdJwt, getStatusListFromJWT } from '@sd-jwt/jwt-status-list'
import * as jose from 'jose'
import { hufu, network } from './hufu.mjs'
import { keyOf, mdocContext } from './keys.mjs'
import { receive, verifySdJwt } from './wallet.mjs'

// A second process of the issuer, on the same database: what one changes the other serves.
const process2 = spawn(network.hufu, ['issuer', 'serve', '--listen', '127.0.0.1:0', '--json'], { stdio: ['ignore', 'pipe', 'ignore'] })
const origin = await (async () => {
  let out = ''
  for await (const chunk of process2.stdout) {
    out += chunk
    if (out.includes('}')) break
  }
  return JSON.parse(out).listen
})()
after(async () => {
  process2.kill('SIGTERM')
  await once(process2, 'exit')
})

async function fetchList(uri, mediaType) {
  const { pathname } = new URL(uri)
  const r = await fetch(origin + pathname, { headers: { Accept: mediaType } })
  assert.equal(r.status, 200)
  assert.equal(r.headers.get('content-type'), mediaType)
  assert.match(r.headers.get('cache-control'), /max-age=\d+/)
  assert.equal(r.headers.get('access-control-allow-origin'), '*')
  return r
}

async function asJwt({ uri, idx }) {
  const token = await (await fetchList(uri, 'application/statuslist+jwt')).text()
  const { payload, protectedHeader } = await jose.jwtVerify(token, async ({ kid }) => jose.importJWK(await keyOf(kid), 'ES256'), { typ: 'statuslist+jwt', subject: uri })
  assert.ok(protectedHeader.kid.startsWith(network.dids.agency))
  assert.ok(payload.ttl > 0)
  const status = getListFromStatusListJWT(token).getStatus(idx)
  assert.equal(getListOfSdJwt(token).getStatus(idx), status, 'both libraries read the same')
  return status
}

// The claims of the CWT are read with the CBOR of @owf/mdoc: the CWT reader of @owf/token-status-list wants an
// aggregation_uri, which the standard leaves optional.
async function asCwt({ uri, idx }) {
  const bytes = new Uint8Array(await (await fetchList(uri, 'application/statuslist+cwt')).arrayBuffer())
  assert.equal(bytes[0], 0xd2, 'tagged as COSE_Sign1')
  const token = Sign1.decode(bytes.subarray(1))
  const kid = Buffer.from(token.unprotectedHeaders.headers.get(4) ?? token.protectedHeaders.headers.get(4)).toString()
  assert.ok(await token.verifySignature({ key: CoseKey.fromJwk({ ...await keyOf(kid), alg: 'ES256' }) }, mdocContext), 'signed by the issuer')
  const claims = cborDecode(token.payload)
  assert.equal(claims.get(2), uri)
  const { bits, lst } = Object.fromEntries(claims.get(65533))
  return StatusList.decompressStatusListFromBytes(new Uint8Array(lst), bits).getStatus(idx)
}

async function copyOf(person) {
  const { credentials: [copy] } = await receive({ person, grant: 'pre', dpop: true, batch: 1 })
  const reference = getStatusListFromJWT(copy.encoded.split('~')[0])
  assert.deepEqual(reference, (await verifySdJwt(copy.encoded, copy.key)).status.status_list)
  return reference
}

test('status lists as JWT and CWT say who is revoked, and who is not', async () => {
  const [revoked, standing] = await Promise.all([copyOf(network.people.at(-1)), copyOf(network.people.at(-2))])
  await hufu('issuer', 'status', '--person', network.people.at(-1).number, '--set', 'revoked', '--reason', 'requested')
  assert.equal(await asJwt(revoked), 1)
  assert.equal(await asCwt(revoked), 1)
  assert.equal(await asJwt(standing), 0)
  assert.equal(await asCwt(standing), 0)
})
