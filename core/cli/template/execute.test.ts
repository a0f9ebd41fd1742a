import test from 'ava'
import { compile } from './execute.js'

const data = {
  Name: 'web',
  N: 3,
  Empty: '',
  List: ['a', 'b'],
  Map: { y: 2, x: 1 },
  Null: null,
  Nested: { Deep: { Value: '<v>' } },
  Label: (name: unknown) => `label ${String(name)}`,
}

for (const [source, expected] of [
  ['{{.Name}} {{ .N }}', 'web 3'],
  ['{{.List}} {{.Map}} {{.Null}}', '[a b] map[x:1 y:2] <no value>'],
  ['{{json .Nested}}', '{"Deep":{"Value":"<v>"}}'],
  ['{{.Nested.Deep.Value}}', '<v>'],
  ['{{.Name | upper | printf "%s-%d" "x"}}', 'x-%!d(string=WEB)'],
  ['{{upper .Name}} {{lower "ABC"}} {{title "ab cd"}}', 'WEB abc Ab Cd'],
  ['{{join .List ","}} {{index .List 1}} {{index .Map "x"}} {{len .List}}', 'a,b b 1 2'],
  ['{{range .List}}[{{.}}]{{end}}', '[a][b]'],
  ['{{range $i, $v := .List}}{{$i}}={{$v}};{{end}}', '0=a;1=b;'],
  ['{{range $k, $v := .Map}}{{$k}}={{$v}} {{end}}', 'x=1 y=2 '],
  ['{{range .Null}}x{{else}}none{{end}}', 'none'],
  ['{{if .Empty}}a{{else if eq .N 3}}three{{else}}c{{end}}', 'three'],
  ['{{if and .Name (gt .N 2)}}yes{{end}}{{if or .Empty .Null}}no{{end}}', 'yes'],
  ['{{with .Nested.Deep}}{{.Value}}{{$.Name}}{{end}}', '<v>web'],
  ['{{$x := .N}}{{$x = 4}}{{$x}}', '4'],
  ['a {{- " b " -}} c{{/* nothing */}}', 'a b c'],
  ['{{.Label "k"}}', 'label k'],
  ['{{println .Name}}{{(split "a:b" ":")}}', 'web\n[a b]'],
  ['{{printf "%q %5d|%-5s|%t %v" .Name .N "x" true .List}}', '"web"     3|x    |true [a b]'],
  ['{{range .List}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', 'a'],
  ['{{len "日本"}} {{truncate .Name 2}} {{slice .Name 1}} {{not .Empty}}', '6 we eb true'],
  ['{{`raw {{x}}`}}', 'raw {{x}}'],
] as const) {
  test(source, (t) => t.is(compile(source).render(data), expected))
}

for (const [source, message] of [
  ['{{.Nope}}', 'template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"'],
  ['x\n  {{if .Name}}{{.Null.X}}{{end}}', 'template: :2:16: executing "" at <.Null.X>: nil pointer evaluating interface {}.X'],
  ['{{', 'template: :1: unclosed action'],
  ['{{if .Name}}', 'template: :1: unexpected EOF'],
  ['{{end}}', 'template: :1: unexpected {{end}}'],
  ['{{nope .Name}}', 'template: :1: function "nope" not defined'],
  ['{{.Name "x"}}', "can't give argument to non-function"],
] as const) {
  test(`refused: ${source}`, (t) => void t.throws(() => compile(source).render(data), { message }))
}
