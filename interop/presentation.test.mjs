// Somebody else's wallet shows credentials at Hufu's gate, asked in every way that the gate can ask.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { adult, child, hufu, network } from './hufu.mjs'
import { present } from './present.mjs'
import { receive } from './wallet.mjs'

const formats = { 'dc+sd-jwt': 'SD-JWT VC', mso_mdoc: 'mdoc' }

// Each person's copies by format, as in a wallet; each is shown once. Fetched by the first test that wants one.
const stock = new Map()
async function take(person, format) {
  const name = `${person.number} ${format}`
  if (!stock.has(name)) stock.set(name, receive({ person, grant: 'pre', dpop: true, batch: 32, format }).then((r) => r.credentials))
  return (await stock.get(name)).pop() ?? assert.fail('the wallet has no copy left')
}

const api = `${network.url}/api/v1/gates/library/sessions`
const asService = async (path, body) => {
  const { token } = await hufu('gate', 'token', '--as', 'library')
  const r = await fetch(api + path, {
    method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }) },
  })
  const out = await r.json()
  assert.ok(r.ok, JSON.stringify(out))
  return out
}

for (const [format, name] of Object.entries(formats)) {
  describe(`${name} by post`, () => {
    for (const mode of ['direct_post', 'direct_post.jwt']) {
      for (const prefix of ['decentralized_identifier', 'x509_san_dns', 'x509_hash', 'redirect_uri']) {
        for (const method of prefix === 'redirect_uri' ? [undefined] : ['get', 'post']) {
          test([mode, prefix, method && `request fetched by ${method}`].filter(Boolean).join(', '), async () => {
            const opened = await hufu('gate', 'request', '--contract', 'reading-room', '--format', format, '--response-mode', mode,
              '--client-id-prefix', prefix, ...(method ? ['--request-uri-method', method] : []))
            const { resolved, status, answer } = await present(opened.uri, await take(adult, format), { enc: method === 'post' ? 'A256GCM' : 'A128GCM' })
            assert.equal(resolved.client.prefix, prefix)
            assert.equal(status, 200, JSON.stringify(answer))
            const result = await hufu('gate', 'result', opened.state)
            assert.equal(result.status, 'answered')
            assert.equal(result.decision, 'allow', `${result.rule} ${result.reason}`)
            assert.deepEqual(result.policies, ['adults'])
          })
        }
      }
    }
  })

  describe(`${name} over the Digital Credentials API`, () => {
    const origin = 'https://library.example'
    for (const mode of ['dc_api', 'dc_api.jwt']) {
      for (const prefix of ['decentralized_identifier', 'x509_san_dns', 'x509_hash', 'none']) {
        test(`${mode}, ${prefix === 'none' ? 'unsigned' : prefix}`, async () => {
          const opened = await asService('', {
            contract: 'reading-room', format, response_mode: mode, client_id_prefix: prefix, expected_origins: [origin],
          })
          const { protocol, data } = opened.digital_credentials_request
          assert.equal(protocol, prefix === 'none' ? 'openid4vp-v1-unsigned' : 'openid4vp-v1-signed')
          const { answer } = await present(data, await take(adult, format), { origin })
          const result = await asService(`/${opened.id}/dc`, { origin, protocol, data: answer })
          assert.equal(result.decision, 'allow', `${result.rule} ${result.reason}`)
        })
      }
    }
  })

  test(`${name}: a child stays outside`, async () => {
    const opened = await hufu('gate', 'request', '--contract', 'reading-room', '--format', format)
    const { status } = await present(opened.uri, await take(child, format))
    assert.equal(status, 200)
    const result = await hufu('gate', 'result', opened.state)
    assert.equal(result.decision, 'deny')
  })

  test(`${name}: an answer is taken once`, async () => {
    const opened = await hufu('gate', 'request', '--contract', 'reading-room', '--format', format, '--response-mode', 'direct_post')
    const copy = await take(adult, format)
    await present(opened.uri, copy)
    await assert.rejects(present(opened.uri, copy), 'the request is not given to a second wallet')
  })
}
