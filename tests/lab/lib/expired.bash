# shellcheck shell=bash
# A certificate that has expired. Needs nothing but openssl.

# expired CERTIFICATE KEY AUTHORITY   prints one of the same names and the same key, by AUTHORITY.crt and .key, that held
# until yesterday
expired() {
    local certificate=$1 key=$2 authority=$3 names
    names=$(openssl x509 -in "$certificate" -noout -ext subjectAltName 2>/dev/null | tail -n +2 | sed 's/ //g; s/IPAddress/IP/g')
    openssl x509 -in "$certificate" -x509toreq -signkey "$key" 2>/dev/null |
        openssl x509 -req -CA "$authority.crt" -CAkey "$authority.key" -set_serial "$(date +%s)" -days -1 \
            -extfile <([[ -z "$names" ]] || echo "subjectAltName=$names") 2>/dev/null
}
