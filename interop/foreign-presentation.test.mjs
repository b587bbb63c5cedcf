// Hufu's wallet shows credentials to somebody else's verifier.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { startIssuer } from './foreign-issuer.mjs'
import { startVerifier } from './foreign-verifier.mjs'
import { network } from './hufu.mjs'
import { accept, wallet } from './hufu-wallet.mjs'

for (const [format, name] of [['dc+sd-jwt', 'SD-JWT VC'], ['mso_mdoc', 'mdoc']]) {
  describe(`Hufu's wallet, ${name} shown to a verifier unknown to the ledger`, () => {
    // Made by the first test that wants it.
    let made
    const holding = () => (made ??= (async () => {
      const issuer = await startIssuer({ dpop: true, format })
      const got = await accept(issuer, { copies: 10 })
      assert.equal(got.status, 0, got.err)
      return { issuer, home: got.home }
    })())
    after(async () => { if (made) await (await made).issuer.stop() })

    test('not unless the person says so', async () => {
      const { issuer, home } = await holding()
      const verifier = await startVerifier({ format, mode: 'direct_post', prefix: 'x509_hash', issuer })
      try {
        const did = await wallet(home, ['present', verifier.link, '--node', network.node])
        assert.equal(did.status, 1)
        assert.equal(verifier.shown(), undefined)
        assert.equal(verifier.declined(), 'access_denied', 'the verifier is told')
      } finally {
        await verifier.stop()
      }
    })

    for (const mode of ['direct_post', 'direct_post.jwt']) {
      for (const prefix of ['x509_san_dns', 'x509_hash', 'redirect_uri']) {
        test(`${mode}, ${prefix}`, async () => {
          const { issuer, home } = await holding()
          const verifier = await startVerifier({ format, mode, prefix, issuer })
          try {
            const did = await wallet(home, ['present', verifier.link, '--yes', '--node', network.node])
            assert.deepEqual(verifier.shown(), { member: true }, 'what was asked for, and nothing else')
            assert.equal(did.status, 0, did.err)
            assert.match(did.err, /WARNING: a stranger asks/)
          } finally {
            await verifier.stop()
          }
        })
      }
    }

    for (const mode of ['dc_api', 'dc_api.jwt']) {
      for (const prefix of ['x509_hash', undefined]) {
        test(`${mode}, ${prefix ?? 'unsigned'}`, async () => {
          const origin = 'https://shop.example'
          const { issuer, home } = await holding()
          const verifier = await startVerifier({ format, mode, prefix, issuer, origin })
          try {
            const file = join(network.dir, 'request.json')
            writeFileSync(file, JSON.stringify(verifier.request))
            const did = await wallet(home, ['present', file, '--origin', origin, '--yes', '--node', network.node])
            assert.equal(did.status, 0, did.err)
            assert.deepEqual(await verifier.check(did.result.data ?? did.result.response ?? did.result), { member: true })
          } finally {
            await verifier.stop()
          }
        })
      }
    }
  })
}
