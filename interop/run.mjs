// Starts a Hufu network of its own over HTTPS, with an agency, a library and a few people, runs the tests beside this
// file against it, and stops it. Usage: node run.mjs [--on-postgres] [test file ...]; HUFU names the binary (default
// ../bin/hufu). With --on-postgres the databases are on the server that HUFU_TEST_POSTGRES names.
import { spawn, execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { mkdtempSync, readFileSync, rmSync, writeFileSync, openSync, readdirSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const hufu = resolve(process.env.HUFU ?? join(here, '..', 'bin', 'hufu'))
const dir = mkdtempSync(join(tmpdir(), 'hufu-interop-'))
const home = join(dir, 'net')
const env = { ...process.env, HUFU_HOME: home, HUFU_KEY_FILE: join(dir, 'key') }
const wanted = process.argv.slice(2)
if (wanted[0] === '--on-postgres') {
  wanted.shift()
  if (!env.HUFU_TEST_POSTGRES) {
    console.log('SKIPPED: the interop tests on PostgreSQL')
    process.exit(0)
  }
  env.HUFU_DB = env.HUFU_TEST_POSTGRES
}
const run = (...args) => execFileSync(hufu, args, { env, encoding: 'utf8' })

const freePort = () => new Promise((done, fail) => {
  const s = createServer().once('error', fail)
  s.listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)) })
})

let up
const start = async (port, rpc) => {
  const log = openSync(join(dir, 'up.log'), 'a')
  up = spawn(hufu, ['up', '--network', 'interop', '--listen', `127.0.0.1:${port}`, '--rpc', `127.0.0.1:${rpc}`,
    '--url', `https://localhost:${port}`, '--tls', 'self-signed'], { env, stdio: ['ignore', log, log] })
  // The node answers commands once the process has written where it listens.
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    if (up.exitCode !== null) throw new Error(`hufu up ended:\n${readFileSync(join(dir, 'up.log'), 'utf8')}`)
    if (existsSync(join(home, 'admin.token'))) {
      try { run('gov', 'members'); return } catch { /* no block yet */ }
    }
    await new Promise((r) => setTimeout(r, 100))
  }
  throw new Error('hufu up is not ready')
}
const stop = () => new Promise((done) => {
  if (!up || up.exitCode !== null) return done()
  up.once('exit', done)
  up.kill('SIGTERM')
})

let status = 1
try {
  const [port, rpc] = [await freePort(), await freePort()]
  await start(port, rpc)
  const examples = join(here, '..', 'examples')
  run('did', 'create', 'agency', '--method', 'issuing:assertion:P-256', '--method', 'authority:assertion:P-256')
  run('did', 'create', 'library', '--method', 'gate:authentication+assertion:P-256', '--method', 'authority:assertion:P-256')
  for (const type of ['resident-id', 'guardianship']) run('trust', 'publish', join(examples, 'types', `${type}.json`))
  run('gov', 'propose', 'accredit', 'agency', '--type', 'urn:hufu:type:resident-id:1', '--type', 'urn:hufu:type:guardianship:1', '--days', '365')
  run('gate', 'publish', join(examples, 'contracts', 'reading-room.toml'), '--as', 'library')
  run('roster', '--people', '40', '--seed', '7', '--out', join(dir, 'people.csv'))
  run('issuer', 'enrol', join(dir, 'people.csv'))
  await stop() // a process serves the roles that it finds when it starts
  await start(port, rpc)
  const dids = JSON.parse(run('did', 'list', '--json'))
  writeFileSync(join(dir, 'interop.json'), JSON.stringify({
    hufu, dir, home, url: `https://localhost:${port}`, node: `http://127.0.0.1:${rpc}`, dids,
    people: readFileSync(join(dir, 'people.csv'), 'utf8').trim().split('\n').slice(1).map((l) => {
      const [number, , name, , birthdate] = l.split(',')
      return { number, name, birthdate }
    }),
  }))
  const files = wanted.length > 0 ? wanted : readdirSync(here).filter((f) => f.endsWith('.test.mjs')).sort()
  const test = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files.map((f) => resolve(here, f))], {
    env: { ...env, HUFU_INTEROP: join(dir, 'interop.json'), NODE_EXTRA_CA_CERTS: join(home, 'tls-certificate.pem') }, stdio: 'inherit',
  })
  status = await new Promise((done) => test.once('exit', (code) => done(code ?? 1)))
  if (status !== 0 && process.env.HUFU_INTEROP_LOG) console.error(readFileSync(join(dir, 'up.log'), 'utf8'))
} finally {
  await stop()
  rmSync(dir, { recursive: true, force: true })
}
process.exitCode = status
