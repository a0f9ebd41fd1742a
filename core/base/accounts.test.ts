import test from 'ava'
import { lookUpUser } from './accounts.js'

const passwd = 'root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nweb:x:33:34:web:/srv:/bin/sh\n'
const group = 'root:x:0:\nweb:x:34:\nlogs:x:50:other,web\naudio:x:29:\n'

test('users and groups in names and numbers', (t) => {
  t.deepEqual(lookUpUser('', [], passwd, group), { user: { uid: 0, gid: 0, additionalGids: [0] }, home: '/root' })
  t.deepEqual(lookUpUser('web', [], passwd, group), { user: { uid: 33, gid: 34, additionalGids: [34, 50] }, home: '/srv' })
  t.deepEqual(lookUpUser('33', ['audio', '7'], passwd, group), {
    user: { uid: 33, gid: 34, additionalGids: [34, 50, 29, 7] },
    home: '/srv',
  })
  t.deepEqual(lookUpUser('web:audio', [], passwd, group), { user: { uid: 33, gid: 29, additionalGids: [29] }, home: '/srv' })
  t.deepEqual(lookUpUser('99:98', [], passwd, group), { user: { uid: 99, gid: 98, additionalGids: [98] }, home: '/' })
  t.deepEqual(lookUpUser('0', [], '', ''), { user: { uid: 0, gid: 0, additionalGids: [0] }, home: '/' })
  t.throws(() => lookUpUser('nosuch', [], passwd, group), { message: 'unable to find user nosuch: no matching entries in passwd file' })
  t.throws(() => lookUpUser('web:nosuch', [], passwd, group), { message: 'unable to find group nosuch: no matching entries in group file' })
  t.throws(() => lookUpUser('99999999999', [], passwd, group))
})
