# Completion of evalkit for bash. Add to ~/.bashrc: eval "$(evalkit completion bash)"
_evalkit() {
    local program=${COMP_WORDS[0]/#\~\//$HOME/} line=${COMP_LINE:0:COMP_POINT} word candidate value before file folder
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]} - 1]}
    # bash takes a word apart at = and :, where readline is told so; what it completes is the last part.
    before=""
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && before=${word%"${word##*=}"}
    [[ $COMP_WORDBREAKS == *:* && $word == *:* && ${#before} -lt $((${#word} - ${#word##*:})) ]] && before=${word%"${word##*:}"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        candidate=${candidate%%$'\t'*}
        if [[ $candidate == :files ]]; then
            value=${word##*[=,]}
            [[ $word == *=* ]] || value=$word
            while IFS= read -r file; do
                folder=${file/#\~\//$HOME/}
                if [[ -d $folder ]]; then file=$file/; fi
                if [[ $file == \~/* ]]; then file="~/$(printf %q "${file#\~/}")"; else file=$(printf %q "$file"); fi
                file=${word%"$value"}$file
                [[ $file == */ ]] || file="$file "
                COMPREPLY+=("${file#"$before"}")
            done < <(compgen -f -- "$value")
            continue
        fi
        case $candidate in
            *= | *. | *[,]) ;;
            *) candidate="$candidate " ;;
        esac
        COMPREPLY+=("${candidate#"$before"}")
    done < <("$program" completion --candidates "${words[@]:1}" 2> /dev/null)
}
complete -o nospace -F _evalkit evalkit
