// The page at /: one file, no outside assets. It reads /events and draws; what it may start wants the token.
#include "daemon/http/pages.hpp"

namespace walgd::daemon {

namespace {

constexpr std::string_view page_text = R"page(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>walgd</title>
<style>
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#17202a;--dim:#5b6773;--line:#dde2e8;--ok:#17803d;--bad:#c0272d;--warn:#a15c00;--wal:#2f6fde;--delta:#8a5cf0}
@media(prefers-color-scheme:dark){:root{--bg:#11151a;--card:#1a2027;--ink:#e8edf2;--dim:#9aa7b4;--line:#2c3540;--ok:#4cc472;--bad:#ff7176;--warn:#f0ad4e;--wal:#6fa3ff;--delta:#b79bff}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1rem}h1{font-size:1rem;font-weight:600;margin:0;color:var(--dim)}
h2{font-size:.8rem;text-transform:uppercase;letter-spacing:.06em;color:var(--dim);margin:0 0 .6rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem;margin:.8rem 0;overflow-wrap:anywhere}
.head{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:baseline;justify-content:space-between}
.safe{font-size:1.9rem;font-weight:650;margin:.1rem 0}.pill{display:inline-block;border-radius:1rem;padding:.1rem .7rem;font-weight:600;border:2px solid}
.ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}.dim{color:var(--dim)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.8rem}.n{font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
svg{width:100%;display:block}ul{margin:0;padding-left:1.1rem}li{margin:.25rem 0;overflow-wrap:anywhere}
progress{width:100%;height:.8rem;accent-color:var(--wal)}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{text-align:left;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line);vertical-align:top}th{color:var(--dim);font-weight:500}
.scroll{overflow-x:auto;overflow-wrap:normal}.name{min-width:12rem;overflow-wrap:anywhere}button,input{font:inherit;padding:.4rem .7rem;border-radius:.4rem;border:1px solid var(--line);background:var(--bg);color:var(--ink)}
button:focus-visible,input:focus-visible,summary:focus-visible{outline:3px solid var(--wal);outline-offset:2px}
</style></head><body><main>
<div class="head"><h1>walgd <span id="version"></span></h1><span id="link" class="dim" role="status">connecting</span></div>
<section class="card" aria-labelledby="state"><span id="state" class="pill dim">…</span>
<p class="safe" id="safe">…</p><p class="dim" id="safe2"></p><p id="window"></p><ul id="reasons" class="bad"></ul></section>
<section class="card"><h2>The archive</h2><p id="looked" class="dim"></p><div id="archive" class="dim">Not looked at yet.</div><p id="marked" role="status"></p></section>
<section class="card"><h2>WAL</h2><div class="grid">
<div><div class="n" id="rate">–</div><div class="dim">stored a second</div></div>
<div><div class="n" id="lag">–</div><div class="dim">files wait</div></div>
<div><div class="n" id="pushed">–</div><div class="dim">stored since the start</div></div>
<div><div class="n" id="failed">–</div><div class="dim">failed requests</div></div></div>
<svg id="spark" viewBox="0 0 120 24" height="48" preserveAspectRatio="none" role="img" aria-label="bytes of WAL a second, the last two minutes"></svg></section>
<section class="card"><h2>Base backup and verify</h2><div id="job" class="dim">None since the start.</div>
<p id="verify" class="dim"></p>
<details><summary>Start something</summary><form id="tokens"><label>Token <input id="token" type="password" autocomplete="off"></label>
<button type="button" id="start">Start a base backup</button> <button type="button" id="check">Verify what is new</button> <span id="said" role="status"></span></form>
<p class="dim">With the token, the backups above can be marked as permanent too.</p></details></section>
<section class="card"><h2>Due</h2><div id="due" class="dim">No schedule is configured.</div></section>
<section class="card"><h2>Last troubles</h2><div id="errors" class="dim">None.</div></section>
</main><script>
"use strict";
const $=id=>document.getElementById(id),esc=t=>String(t).replace(/[&<>"]/g,c=>({"&":"&amp;","<":"&lt;",">":"&gt;",'"':"&quot;"}[c]));
const size=n=>{const u=["B","kB","MB","GB","TB","PB"];let i=0;while(n>=1000&&i<5){n/=1000;i++}return (i&&n<10?n.toFixed(1):Math.round(n))+" "+u[i]};
const ago=t=>{const s=Math.max(0,(Date.now()-Date.parse(t))/1000);return s<120?Math.round(s)+" s":s<7200?Math.round(s/60)+" min":s<172800?Math.round(s/3600)+" h":Math.round(s/86400)+" days"};
const local=t=>new Date(t).toLocaleString();
let before=null,rates=[];
function draw(e){const s=e.status,w=s.wal;$("version").textContent=s.version+" · "+s.storage;
 const well=e.ready&&!e.archive.missing&&!e.archive.trouble;$("state").textContent=well?"all well":"needs a look";$("state").className="pill "+(well?"ok":"bad");
 $("reasons").innerHTML=e.reasons.map(r=>"<li>"+esc(r)+"</li>").join("");
 const t=w.last_pushed_at==="-"?null:w.last_pushed_at;
 $("safe").textContent=t?"Safe until "+local(t):"No WAL was stored since walgd began";
 $("safe2").textContent=t?"the last WAL file was stored "+ago(t)+" ago"+(w.last_pushed?": "+w.last_pushed:""):"";
 const now=Date.now();if(before){const dt=(now-before.t)/1000;if(dt>0){rates.push(Math.max(0,(w.plain_bytes-before.b)/dt));if(rates.length>120)rates.shift()}}
 before={t:now,b:w.plain_bytes};const r=rates.slice(-10);$("rate").textContent=r.length?size(r.reduce((a,b)=>a+b,0)/r.length):"–";
 $("lag").textContent=w.looking_ahead==="yes"?w.backlog:w.in_flight;$("pushed").textContent=w.pushed+w.stored_ahead-w.answered_at_once;$("failed").textContent=w.push_failed+w.fetch_failed;
 const top=Math.max(1,...rates);$("spark").innerHTML='<polyline fill="none" stroke="var(--wal)" vector-effect="non-scaling-stroke" stroke-width="2" points="'+rates.map((v,i)=>(120-rates.length+i)+","+(23-22*v/top)).join(" ")+'"/>';
 job(s.backup);verified(e.verify);windows(e.archive,t);archive(e.archive);due(s.schedule);
 const x=[];if(s.storage_state&&s.storage_state.trouble)x.push([s.storage_state.trouble_at,s.storage_state.trouble+(s.storage_state.hint?" — "+s.storage_state.hint:"")]);
 if(w.last_error)x.push([w.last_error_at,w.last_error]);if(s.clients.last_error)x.push([s.clients.last_error_at,s.clients.last_error]);
 if(x.length)$("errors").innerHTML="<ul>"+x.map(([a,b])=>"<li><span class=dim>"+esc(local(a))+"</span> "+esc(b)+"</li>").join("")+"</ul>"}
function job(b){if(!b)return;const p=b.bytes_total?b.bytes_done/b.bytes_total:0;
 $("job").innerHTML=b.running?'<progress max="1" value="'+p+'" aria-label="progress of the base backup"></progress>'+Math.round(100*p)+" % of "+size(b.bytes_total)+", "+size(b.stored_bytes)+" stored, began "+esc(local(b.started))
  :b.error?'<span class="bad">Failed: '+esc(b.error)+"</span>":"Done: <b>"+esc(b.name||"")+"</b>, "+size(b.bytes_done)+", "+size(b.stored_bytes)+" stored"}
function verified(v){if(!v)return;$("verify").className=v.running?"dim":v.ok?"ok":"bad";$("verify").textContent=v.running?"A verify runs since "+local(v.started):(v.ok?"Verified: ":"Verify: ")+v.text}
function windows(a,t){const w=(a.windows||[]).map(x=>"any moment from "+(x.since?local(x.since):"the end of "+x.backup)+" until "+(x.open?(t?local(t):"the last segment, "+x.last):"segment "+x.last));
 $("window").textContent=w.length?"Restorable: "+w.join("; ")+".":!a.at?"":a.backup_count?"Restorable: the ends of the base backups alone.":"Nothing can be restored yet: there is no base backup.";
 const last=w.length&&a.windows[w.length-1];if(last&&!last.open)$("safe").textContent="Safe until segment "+last.last+" only"}
let drawn="";
function archive(a){if(!a||!(a.at||a.trouble))return;$("looked").textContent=a.at?"Looked at "+ago(a.at)+" ago.":"";
 const same=JSON.stringify([a.trouble,a.backups,a.ranges,a.gaps,a.windows]);if(same===drawn)return;drawn=same; // keeps what has the focus
 const held=document.activeElement&&document.activeElement.dataset?document.activeElement.dataset.name:null,out=[];if(a.trouble)out.push('<p class="bad">'+esc(a.trouble)+"</p>");
 if(a.at)out.push("<p>"+a.backup_count+" base backups, "+a.segments+" WAL segments, "+(a.missing?'<span class="bad">'+a.missing+" missing</span>":"none missing")+".</p>");
 if(a.gaps.length)out.push('<ul class="bad">'+a.gaps.map(g=>"<li>Missing: "+esc(g.first)+(g.to>g.from?" to "+esc(g.last):"")+" — walg doctor says what it costs</li>").join("")+"</ul>");
 const ranges=a.ranges||[];if(ranges.length)out.push(timeline(a,ranges));
 out.push('<div class="scroll"><table><thead><tr><th>backup<th>finished<th>size<th>stored<th></thead><tbody>'+a.backups.slice(-12).reverse().map(b=>"<tr><td class=name>"+esc(b.name)+"<td>"+esc(b.finish?local(b.finish):"?")+"<td>"+size(b.bytes||0)+"<td>"+size(b.stored_bytes||0)+"<td>"+(b.permanent?"permanent ":"")+
  '<button data-name="'+esc(b.name)+'" data-to="'+(b.permanent?"unmark":"mark")+'" aria-label="'+(b.permanent?"let go of ":"keep ")+esc(b.name)+'">'+(b.permanent?"let go":"keep")+"</button>").join("")+"</tbody></table></div>");
 $("archive").className="";$("archive").innerHTML=out.join("");if(held)for(const x of document.querySelectorAll("button[data-name]"))if(x.dataset.name===held)x.focus()}
function timeline(a,ranges){const lo=Math.min(...ranges.map(r=>r.from)),hi=Math.max(...ranges.map(r=>r.to))+1,W=$("archive").clientWidth||1000,X=n=>(W*(n-lo)/Math.max(1,hi-lo)).toFixed(1),rows=[...new Set(ranges.map(r=>r.timeline))].sort((x,y)=>x-y),H=rows.length*34+22,Y=t=>Math.max(0,rows.indexOf(t))*34+24,
 bar=(r,y,h,c,t)=>'<rect x="'+X(r.from)+'" y="'+y+'" width="'+Math.max(2,X(r.to+1)-X(r.from))+'" height="'+h+'" rx="2" fill="var(--'+c+')"><title>'+esc(t)+"</title></rect>";
 return '<svg viewBox="0 0 '+W+" "+H+'" role="img" aria-label="timelines with segments, gaps, backups and what can be restored">'
 +ranges.map(r=>bar(r,Y(r.timeline),8,"wal","timeline "+r.timeline+": "+r.first+" to "+r.last)).join("")
 +a.gaps.map(g=>bar(g,Y(g.timeline),8,"bad","missing: "+g.first+" to "+g.last)).join("")
 +a.windows.map(w=>bar(w,Y(w.timeline)+10,4,"ok","restorable: from the end of "+w.backup+" to "+w.last)).join("")
 +a.backups.filter(b=>b.parent_segment!=null).map(b=>{const y=Y(b.timeline)-4,x1=+X(b.parent_segment),x2=+X(b.segment);return '<path d="M'+x1+" "+(y-8)+"Q"+(x1+x2)/2+" "+(y-26)+" "+x2+" "+(y-8)+'" fill="none" stroke="var(--delta)" vector-effect="non-scaling-stroke"/>'}).join("")
 +a.backups.map(b=>'<path d="M'+X(b.segment)+" "+(Y(b.timeline)-2)+'l-6 -10h12z" fill="var('+(b.delta?"--delta":"--ok")+')"><title>'+esc(b.name)+"</title></path>").join("")
 +'</svg><p class="dim"><span style="color:var(--wal)">■</span> WAL <span class="bad">■</span> missing <span class="ok">▬</span> restorable <span class="ok">▼</span> full backup <span style="color:var(--delta)">▼</span> delta</p>'}
function due(s){if(!s||!s.length)return;$("due").className="scroll";$("due").innerHTML="<table><thead><tr><th>what<th>next<th>last</thead><tbody>"+s.map(j=>"<tr><td>"+esc(j.what)+"<td>"+esc(j.next?local(j.next):"–")+"<td>"+(j.last?esc(local(j.last))+" "+(j.ok?'<span class="ok">ok</span>':'<span class="bad">failed: '+esc(j.text)+"</span>")+(j.why?" waits: "+esc(j.why):""):esc(j.why||"not yet"))).join("")+"</tbody></table>"}
const es=new EventSource("/events");es.onmessage=m=>{$("link").textContent="live";$("link").className="ok";draw(JSON.parse(m.data))};
es.onerror=()=>{$("link").textContent="no answer from walgd, trying again";$("link").className="bad"};
const act=async(path,where)=>{$(where).textContent="…";try{const r=await fetch(path,{method:"POST",headers:{Authorization:"Bearer "+$("token").value}});$(where).textContent=await r.text()}catch(x){$(where).textContent="no answer from walgd: "+x}};
$("tokens").onsubmit=e=>e.preventDefault();$("start").onclick=()=>act("/backup","said");$("check").onclick=()=>act("/verify","said");
$("archive").onclick=m=>{const b=m.target.closest("button[data-name]");if(b)act("/"+b.dataset.to+"/"+encodeURIComponent(b.dataset.name),"marked")};
</script></body></html>
)page";

} // namespace

std::string_view page_html() { return page_text; }

} // namespace walgd::daemon
