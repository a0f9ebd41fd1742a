import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import test from 'ava'
import { attachDeviceProgram, deviceProgram } from './device-filter.js'

test('an allow-all rule ends the program', (t) => {
  t.is(deviceProgram([{ allow: false }, { allow: true, access: 'rwm' }]).length, 8 * 8)
})

test('rules are tried from the last to the first', (t) => {
  const program = deviceProgram([{ allow: false }, { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' }])
  // 6 to load, 3 tests, 2 to allow, 2 to deny.
  t.is(program.length, 13 * 8)
})

const unified = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((dir) => fs.existsSync(`${dir}/cgroup.subtree_control`))
const isRoot = process.getuid?.() === 0
const rootTest = isRoot && unified !== undefined ? test.serial : test.skip
const lacking = isRoot ? '' : ' [needs root]'

rootTest(`the kernel takes the program and obeys it${lacking}`, (t) => {
  const group = `${unified}/tsd-device-test-${process.pid}`
  fs.mkdirSync(group)
  try {
    attachDeviceProgram(
      group,
      deviceProgram([
        { allow: false, access: 'rwm' },
        { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
        { allow: true, type: 'c', major: 1, minor: 5, access: 'r' },
      ]),
    )
    const probe = `echo $$ > ${group}/cgroup.procs; for d in null zero full; do
      if (: < /dev/$d) 2>&-; then echo $d r; fi; if (: > /dev/$d) 2>&-; then echo $d w; fi; done 3>&1 | cat`
    const out = execFileSync('sh', ['-c', probe], { encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] })
    t.is(out, 'null r\nnull w\nzero r\n')
  } finally {
    fs.rmdirSync(group)
  }
})
