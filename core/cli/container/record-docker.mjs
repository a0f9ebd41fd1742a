// Records what the docker CLI sends to /containers/create for each command line below, as the reference for config.test.ts.
// Usage (docker on PATH): node core/cli/container/record-docker.mjs > core/cli/container/docker-bodies.json
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'

const cases = `
run -d img
create img
run img
run -i img
run -it img sh -c 'echo hi'
run -t img
run -d --rm --name n1 img cmd a b
run -a stdout img
run -a stdin -a stderr -i img
create -a stdin img
run -d -e A=1 -e B= --env EMPTYHOSTVAR --env FROM_HOST --env-file FILES/env img
run -d -v /src:/dst img
run -d -v ./rel:/dst:ro img
run -d -v name:/dst:nocopy,ro img
run -d -v /anon -v /anon2 -v c:/x img
run -d -v /a:/b:z,rshared img
run -d --volume /only:ro img
run -d -v :/x img
run -d -v a:b:c:d img
run -d --mount type=bind,src=/a,dst=/b img
run -d --mount type=bind,source=./rel,target=/b,readonly,bind-propagation=rslave img
run -d --mount type=bind,source=/a,target=/b,bind-recursive=readonly,readonly,bind-propagation=rprivate img
run -d --mount type=bind,source=/a,target=/b,bind-recursive=disabled img
run -d --mount type=bind,source=/a,target=/b,bind-nonrecursive=true img
run -d --mount type=volume,src=v,dst=/b,volume-driver=local,volume-opt=type=tmpfs,volume-opt=o=size=1m,volume-label=a=b,volume-nocopy img
run -d --mount type=volume,dst=/b,volume-subpath=x/y img
run -d --mount dst=/b img
run -d --mount type=tmpfs,dst=/b,tmpfs-size=64m,tmpfs-mode=1770 img
run -d --mount type=tmpfs,dst=/b,ro=true img
run -d --mount type=image,src=i,dst=/b,image-subpath=p img
run -d --mount type=bind,src=/a img
run -d --mount type=bind,dst=/a img
run -d --mount type=bind,src=/a,dst=/b,volume-nocopy img
run -d --mount type=volume,src=/a,dst=/b,bind-propagation=shared img
run -d --mount type=bind,src=/a,dst=/b,bogus=1 img
run -d --mount type=bind,src=/a,dst=/b,bogus img
run -d --mount type=wat,src=/a,dst=/b img
run -d --mount "type=bind,\\"src=/a,b\\",dst=/b,consistency=cached" img
run -d --volumes-from a --volumes-from b:ro img
run -d --tmpfs /run --tmpfs /tmp:size=1m,mode=1777 img
run -d -p 80 img
run -d -p 8080:80 img
run -d -p 127.0.0.1:8080:80/udp -p 8081:81/tcp img
run -d -p 127.0.0.1::80 img
run -d -p 8000-8002:80-82 img
run -d -p 8000-8010:80 img
run -d -p [::1]:80:80 img
run -d -p 53:53/sctp -p 53:53/udp img
run -d -p published=8080,target=80,protocol=udp img
run -d -p target=80 img
run -d -p :80 img
run -d -p abc img
run -d -p 80:99999 img
run -d -p 1.2.3:80:80 img
run -d -p 8000-8002:80-81 img
run -d -P --expose 90 --expose 91-93/udp img
run -d --expose x img
run -d -p 80 --expose 80 img
run -d --network host img
run -d --network none img
run -d --network container:abc img
run -d --network mynet --network-alias a1 --network-alias a2 --ip 10.0.0.2 --ip6 fd00::2 --link-local-ip 169.254.3.3 --mac-address 92:d0:c6:0a:29:33 img
run -d --network name=mynet,alias=x,alias=y,ip=10.0.0.2,driver-opt=a=b,mac-address=92:d0:c6:0a:29:33,gw-priority=5 img
run -d --network n1 --network n2 img
run -d --network bridge --network-alias x img
run -d --network default img
run -d --mac-address 92:d0:c6:0a:29:33 img
run -d --mac-address zz img
run -d --ip 172.17.0.9 img
run -d --ip 1.2.3 img
run -d --network host --network n2 img
run -d --net mynet --net-alias z img
run -d --link a:b --link c img
run -d --network mynet --link a:b img
run -d -h host1 --domainname d.example img
run -d --user 1000:1000 -w /w img
run -d --workdir rel img
run -d --entrypoint sh img -c x
run -d --entrypoint "" img x
run -d -l a=b --label c --label-file FILES/labels img
run -d --restart always img
run -d --restart on-failure:5 img
run -d --restart unless-stopped img
run -d --restart wat img
run -d --restart always:3 img
run -d --restart on-failure:x img
run --rm --restart always img
run -d -m 64m --memory-reservation 32m --memory-swap 128m --memory-swappiness 10 img
run -d -m 1.5g --memory-swap -1 --kernel-memory 10m img
run -d --memory-swappiness 101 img
run -d -m 4x img
run -d --cpus 1.5 -c 512 --cpuset-cpus 0,1 --cpuset-mems 0 img
run -d --cpus .25 img
run -d --cpus abc img
run -d --cpu-period 10000 --cpu-quota 5000 --cpu-rt-period 1000 --cpu-rt-runtime 900 img
run -d --cpu-count 2 --cpu-percent 30 --io-maxbandwidth 1m --io-maxiops 10 img
run -d --pids-limit 100 img
run -d --pids-limit -1 img
run -d --ulimit nofile=10:20 --ulimit core=0 --ulimit nproc=-1 img
run -d --ulimit wat=1 img
run -d --ulimit nofile=20:10 img
run -d --ulimit nofile img
run -d --cap-add NET_ADMIN --cap-add cap_sys_time --cap-drop ALL img
run -d --cap-add all --cap-drop net_raw img
run -d --privileged img
run -d --security-opt no-new-privileges --security-opt apparmor=unconfined --security-opt label=disable img
run -d --security-opt seccomp=unconfined img
run -d --security-opt seccomp=FILES/seccomp.json img
run -d --security-opt seccomp=/nonexistent.json img
run -d --security-opt systempaths=unconfined img
run -d --security-opt label:disable img
run -d --security-opt bogus img
run -d --device /dev/null --device /dev/zero:/dev/z:r --device /dev/full:/dev/f --device /dev/tty:rw img
run -d --device /dev/null:/dev/x:q img
run -d --device vendor.com/class=gpu0 img
run -d --device-cgroup-rule 'c 1:3 rwm' img
run -d --device-cgroup-rule 'x 1:3 rwm' img
run -d --gpus all img
run -d --gpus 2 img
run -d --gpus device=0,capabilities=utility img
run -d --read-only --shm-size 128m img
run -d --ipc host --pid host --uts host --userns host --cgroupns private --cgroup-parent /p img
run -d --ipc shareable --pid container:x img
run -d --pid wat img
run -d --uts wat img
run -d --userns wat img
run -d --cgroupns wat img
run -d --ipc wat img
run -d --sysctl net.ipv4.ip_forward=1 --sysctl kernel.x=2 img
run -d --sysctl bad img
run -d --group-add 10 --group-add audio img
run -d --dns 8.8.8.8 --dns 1.1.1.1 --dns-search a.b --dns-search . --dns-option ndots:1 --dns-opt timeout:2 img
run -d --dns wat img
run -d --add-host a:1.2.3.4 --add-host b=::1 --add-host c:host-gateway --add-host d:[fd00::1] img
run -d --add-host a img
run -d --add-host a:wat img
run -d --init --runtime runc img
run -d --init=false img
run -d --log-driver json-file --log-opt max-size=10m --log-opt max-file=3 img
run -d --log-driver none --log-opt a=b img
run -d --stop-signal SIGINT --stop-timeout 5 img
run -d --oom-kill-disable --oom-score-adj 500 img
run -d --oom-score-adj 5000 img
run -d --blkio-weight 300 --blkio-weight-device /dev/sda:200 --device-read-bps /dev/sda:1mb --device-write-bps /dev/sda:2mb --device-read-iops /dev/sda:100 --device-write-iops /dev/sda:200 img
run -d --blkio-weight-device sda:200 img
run -d --blkio-weight-device /dev/sda:5 img
run -d --device-read-bps /dev/sda:x img
run -d --storage-opt size=10G img
run -d --volume-driver local img
run -d --annotation a=b --annotation c=d img
run -d --health-cmd 'curl x' --health-interval 5s --health-timeout 3s --health-retries 4 --health-start-period 1m --health-start-interval 2s img
run -d --health-interval 5s img
run -d --no-healthcheck img
run -d --no-healthcheck --health-cmd x img
run -d --health-retries -1 --health-cmd x img
run -d --isolation default img
run -d --platform linux/amd64 img
run -d --detach-keys ctrl-a --sig-proxy=false img
run -d -a stdout img
run -d --attach wat img
run -d --pull never img
run -d --pull wat img
run -d --disable-content-trust img
run -d --hostname -bad img
run -d -itP --rm img
run -d=false --tty=false img
run -d --env =x img
run -d --shm-size -5 img
run -d -v ~/x:/y img
run -d --name= img
run -d --mount type=bind,src=/a,dst=/b --mount type=volume,dst=/c img
run -d repo.example:5000/a/b:tag
run -d sha256:4c01db0b339c1234567890abcdef1234567890abcdef1234567890abcdef1234
run -d UPPER
run -d img -- x -y
run -d -- img --flag
`
  .trim()
  .split('\n')

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tsd-record-'))
const files = {
  env: '# comment\nC=3\n\nFROM_HOST\n  SP=a b \nEMPTYHOSTVAR\n',
  labels: 'x=y\n#z\nw\n',
  'seccomp.json': '{\n  "defaultAction": "SCMP_ACT_ALLOW"\n}\n',
}
for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text)

let body, query
const server = http.createServer((request, response) => {
  const chunks = []
  request
    .on('data', (c) => chunks.push(c))
    .on('end', () => {
      const url = new URL(request.url, 'http://x')
      if (url.pathname.endsWith('/containers/create')) {
        body = JSON.parse(Buffer.concat(chunks).toString())
        query = Object.fromEntries(url.searchParams)
        response.writeHead(500, { 'content-type': 'application/json', 'api-version': '1.51' }).end('{"message":"recorded"}')
      } else response.writeHead(200, { 'api-version': '1.51', ostype: 'linux' }).end('{}')
    })
})
const socket = path.join(dir, 's')
server.listen(socket)
const words = (line) =>
  line
    .match(/(?:[^\s"']+|"(?:\\.|[^"])*"|'[^']*')+/g)
    .map((w) => w.replace(/^"(.*)"$/s, (_, x) => x.replaceAll('\\"', '"')).replace(/^'(.*)'$/s, '$1'))
const out = []
for (const line of cases) {
  body = query = undefined
  const args = words(line)
  const child = spawn(
    'docker',
    args.map((a) => a.replace('FILES', dir)),
    { cwd: '/tmp', env: { PATH: process.env.PATH, HOME: '/root', DOCKER_HOST: `unix://${socket}`, FROM_HOST: 'fromhost' } },
  )
  let stderr = ''
  child.stdin.end()
  child.stderr.on('data', (d) => (stderr += d))
  const code = await new Promise((resolve) => child.on('close', resolve))
  const error = stderr.replaceAll(dir, 'FILES')
  out.push(body ? { args, query, body, ...(error.includes('WARN') ? { warning: error.split('\n')[0] } : {}) } : { args, code, error })
}
console.log(JSON.stringify({ files, cases: out }).replaceAll('{"args"', '\n{"args"'))
server.close()
fs.rmSync(dir, { recursive: true })
