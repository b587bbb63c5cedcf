// Hufu's wallet gets credentials from somebody else's issuer.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { membership, startIssuer } from './foreign-issuer.mjs'
import { accept, wallet } from './hufu-wallet.mjs'

for (const [format, name] of [['dc+sd-jwt', 'SD-JWT VC'], ['mso_mdoc', 'mdoc']]) {
  describe(`Hufu's wallet, ${name} of an issuer unknown to the ledger`, () => {
    for (const dpop of [true, false]) {
      for (const [grant, txCode] of [['pre', undefined], ['pre', '4711'], ['code', undefined]]) {
        test(`${grant}${txCode ? ' with transaction code' : ''}, ${dpop ? 'DPoP' : 'Bearer'}`, async () => {
          const issuer = await startIssuer({ dpop, format, txCode, grant })
          try {
            // The person's browser follows where the issuer sends it.
            const browse = grant === 'code' ? (address) => fetch(address) : undefined
            const got = await accept(issuer, { txCode, browse })
            assert.equal(got.status, 0, got.err + issuer.failures.map((f) => f.stack).join('\n'))
            assert.equal(got.result.accepted, 3)
            assert.equal(issuer.state.issued, 3)
            assert.deepEqual(issuer.failures, [])
            const { result: [stock] } = await wallet(got.home, ['list'])
            assert.equal(stock.type, membership)
          } finally {
            await issuer.stop()
          }
        })
      }
    }

    test('not unless the person says so', async () => {
      const issuer = await startIssuer({ dpop: true, format })
      try {
        const got = await accept(issuer, { foreign: false })
        assert.equal(got.status, 1)
        assert.match(got.err, /wallet\./)
      } finally {
        await issuer.stop()
      }
    })
  })
}
