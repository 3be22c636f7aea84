/*
 * The types of records and their members, as the table of docs/ledger.md 4 has them; a test compares both. A changed
 * type gets a new name, so what stands here stays right.
 */
export const TYPES = `
genesis origin=text suite=text vkey=text policy=note hsm=object limits=object predecessor?=note
gateway.start build=any boot_id=text config_sha256=hash guards=list
gateway.stop reason=text
channel.open chan=number instance=any peer=object tls=object provider=object mode=text client_head=note client_cosig?=note
channel.counts chan=number counts=object
channel.close chan=number reason=text counts=object
channel.reject peer?=any reason=text count=number
session chan=number sess=number event=text slot=any user?=any pin?=text username?=text rv=number rv_name=text seq?=number req_sha256?=hash resp_sha256?=hash request?=ref
intent chan=number sess=number seq=number op=text mech=object key=object in?=object norm?=object template?=any login?=object req_sha256=hash nonce_req=hash requester=object purpose?=text window?=object expires=number econtent?=object application?=object
statement request=ref head=object sha256=hash text=note
action ui_sess=any actor=object what=text subject?=ref shown_sha256?=hash auth?=note count?=number reason?=text
approval request=ref note=note check=text
rejection request=ref note=note check=text
veto request=ref note=note check=text
decision request=ref verdict=text rule=text policy=object approvals=refs rejections=refs vetoes=refs use=number not_after=number window?=ref reason?=text application?=object
result chan=number sess=number seq=number req_sha256=hash request=ref decision=ref rv=number rv_name=text out?=any key?=any hsm=object dur_us=number resp_sha256=hash selfcheck?=text
op chan=number sess=number seq=number op=text mech=object key?=any in?=any norm?=object rule=text policy=object rv=number rv_name=text out?=any hsm=object dur_us=number req_sha256=hash resp_sha256=hash selfcheck?=text reason?=text
redeliver result=ref chan=number seq=number
redelivery result=ref chan=number sess=number seq=number req_sha256=hash rv=number rv_name=text resp_sha256=hash
policy version=number note=note effective_after=number proposal?=ref
log.key event=text vkey=text proof=note approvals=refs
custodian.credential custodian=text vkey=text evidence=note approvals=refs
checkpoint note=note
cosign size=number root=hash lines=note
peer origin=text note=note old_size=number consistency=list
anchor size=number note=note tsa=text imprint_alg=text nonce_tsa=text token=b64 chain_sha256=hash gen_time=number policy_oid=text
clock before=number after=number source=text reason=text
hsm.log source=text rows=note matches=list unmatched=number
recovery reason=text last_commit=object dropped?=object open_requests=list guards=list authorised?=note
renewal covers=refs tsa=text imprint_alg=text nonce_tsa=text token=b64 chain_sha256=hash gen_time=number policy_oid=text
rehash alg=text size=number old_root=hash new_root=b64 manifest_sha256=hash tsa=text imprint_alg=text nonce_tsa=text token=b64 chain_sha256=hash gen_time=number policy_oid=text
closed successor=object
attachment request=ref in?=object econtent?=object application?=object
policy.proposal version=number note=note effective_at=number
policy.veto note=note
attestation note=note
anomaly what=text token?=text detail=text cause?=text client?=text chan?=number seq?=number req_sha256?=hash resp_sha256?=hash
reopen note=note
`;
